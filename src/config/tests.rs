use std::ffi::OsString;

use rstest::rstest;

use super::{sources::merge, *};

const SHIPPED: &str = include_str!("../../tier0.toml");

fn file(text: &str) -> ConfigFile {
    ConfigFile { path: "some/tier0.toml".into(), text: text.to_owned() }
}

fn load(text: &str, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let environment = variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    merge(Some(&file(text)), &sources::variables(environment)?)
}

/// The shipped file with every `#key = value` line switched on.
fn shipped_switched_on() -> String {
    let switch_on = |line: &'static str| match line.strip_prefix('#') {
        Some(setting) if setting.starts_with(|c: char| c.is_ascii_lowercase()) => setting,
        _ => line,
    };
    SHIPPED.lines().map(switch_on).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_shipped_file_changes_nothing_and_shows_every_default() {
    assert_eq!(load(SHIPPED, &[]).unwrap(), Config::default());

    let shown: toml::Table = toml::from_str(&shipped_switched_on()).unwrap();
    let defaults = toml::Table::try_from(Config::default()).unwrap();
    for (section, keys) in &defaults {
        for (key, default) in keys.as_table().unwrap() {
            let value = shown.get(section).and_then(|section| section.get(key));
            assert_eq!(value, Some(default), "tier0.toml does not show {section}.{key}");
        }
    }
    assert_eq!(load(&shipped_switched_on(), &[]).unwrap(), Config::default());
}

#[test]
fn each_list_of_the_configuration_can_be_set_by_a_variable() {
    let defaults = toml::Table::try_from(Config::default()).unwrap();
    for (section, keys) in &defaults {
        for (key, _) in keys.as_table().unwrap().iter().filter(|(_, v)| v.is_array()) {
            let name = format!("TIER0_{section}__{key}").to_uppercase();
            let config = load("", &[(&name, "1, 2")]).unwrap();
            let table = toml::Table::try_from(config).unwrap();
            assert_eq!(table[section][key].as_array().map(Vec::len), Some(2), "{name}");
        }
    }
}

#[test]
fn variables_override_the_file_and_the_file_overrides_the_defaults() {
    let text = "[server]\nhost = '0.0.0.0'\nport = 1000\n[model]\ndevice = 'cuda:1'";
    let config = load(
        text,
        &[
            ("TIER0_SERVER__PORT", "2000"),
            ("TIER0_SERVER__METRICS_OPEN", "true"),
            ("TIER0_SUPPORT__MIN_CONFIDENCE__ACTION", "0.25"),
            ("TIER0_LOG__FORMAT", "json"),
            ("SOMETHING__ELSE", "untouched"),
        ],
    )
    .unwrap();
    assert_eq!(config.server.host, "0.0.0.0");
    assert_eq!(config.server.port, 2000);
    assert!(config.server.metrics_open);
    assert_eq!(config.model.device, Device::Cuda(1));
    assert_eq!(config.support.min_confidence.action, 0.25);
    assert_eq!(config.log.format, LogFormat::Json);
    assert_eq!(config.support.passages, Support::default().passages);
}

#[test]
fn short_variables_name_the_folders_and_long_ones_win_over_them() {
    let short = [("TIER0_DATA", "/data"), ("TIER0_MODELS", "/models")];
    let config = load("[store]\ndata_dir = '/from-file'", &short).unwrap();
    assert_eq!(config.data_dir().unwrap(), Path::new("/data"));
    assert_eq!(config.models_dir().unwrap(), Path::new("/models"));

    let both = [("TIER0_STORE__DATA_DIR", "/long"), ("TIER0_DATA", "/short")];
    let config = load("", &both).unwrap();
    assert_eq!(config.data_dir().unwrap(), Path::new("/long"));
}

#[test]
fn models_stay_where_they_are_when_the_data_folder_moves() {
    let mut config = Config::default();
    let before = config.models_dir().unwrap();
    config.store.data_dir = "/elsewhere".into();
    assert_eq!(config.models_dir().unwrap(), before);
    assert!(before.ends_with("tier0/models"));
}

#[rstest]
#[case::unknown_key("[server]\nprot = 1", &["some/tier0.toml", "prot", "expected", "`port`"])]
#[case::unknown_section("[sever]\nport = 1", &["some/tier0.toml", "sever", "`server`"])]
#[case::wrong_type("[server]\nport = '80'", &["some/tier0.toml", "port", "u16", "line 2"])]
#[case::wrong_device("[model]\ndevice = 'gpu'", &["some/tier0.toml", "device", "gpu", "cuda:N"])]
#[case::no_toml("[server", &["some/tier0.toml", "line 1"])]
fn a_faulty_file_is_named_with_key_and_expectation(#[case] text: &str, #[case] says: &[&str]) {
    let error = load(text, &[]).unwrap_err().to_string();
    for part in says {
        assert!(error.contains(part), "{part:?} is missing from {error:?}");
    }
}

#[rstest]
#[case::unknown_key("TIER0_SERVER__PROT", "1", &["prot", "`port`"])]
#[case::unknown_section("TIER0_SEVER__PORT", "1", &["sever", "`server`"])]
#[case::wrong_type("TIER0_SERVER__PORT", "many", &["many", "integer", "server.port"])]
#[case::too_large("TIER0_SERVER__PORT", "70000", &["70000", "16", "server.port"])]
#[case::wrong_device("TIER0_MODEL__DEVICE", "gpu", &["gpu", "cuda:N", "model.device"])]
fn a_faulty_variable_is_named(#[case] name: &str, #[case] value: &str, #[case] says: &[&str]) {
    let error = load("", &[("TIER0_SERVER__HOST", "fine"), (name, value)]);
    let error = error.unwrap_err().to_string();
    for part in says.iter().chain(&[name]) {
        assert!(error.contains(part), "{part:?} is missing from {error:?}");
    }
}

#[test]
fn values_out_of_range_are_all_named() {
    let mut config = Config::default();
    config.check().unwrap();
    config.server.api_keys = vec![ApiKey::new("fine"), ApiKey::new("two words")];
    config.server.cors_origins = vec!["*".to_owned(), "help.example.com".to_owned()];
    config.support.passages = 0;
    config.support.min_confidence.action = 1.5;
    let error = config.check().unwrap_err().to_string();
    for key in
        ["server.api_keys[1]", "server.cors_origins[1]", "support.passages", "support.min_confidence.action"]
    {
        assert!(error.contains(key), "{key} is missing from {error:?}");
    }
    assert!(!error.contains("api_keys[0]"), "{error:?}");
}

#[rstest]
#[case::no_hook("", "", None)]
#[case::a_secret_without_a_hook("", "short", None)]
#[case::a_hook("https://shop.example.com/tier0?shop=1", "sixteen letters!", None)]
#[case::inside("http://localhost:9000", "sixteen letters!", None)]
#[case::no_secret("https://shop.example.com/", "", Some("actions.webhook_secret"))]
#[case::short_secret("https://shop.example.com/", "fifteen letters", Some("actions.webhook_secret"))]
#[case::no_scheme("shop.example.com/tier0", "sixteen letters!", Some("actions.webhook_url"))]
#[case::other_scheme("ftp://shop.example.com", "sixteen letters!", Some("actions.webhook_url"))]
#[case::no_host("https://", "sixteen letters!", Some("actions.webhook_url"))]
fn a_hook_needs_an_address_and_a_secret(
    #[case] url: &str,
    #[case] secret: &str,
    #[case] names: Option<&str>,
) {
    let mut config = Config::default();
    config.actions.webhook_url = url.to_owned();
    config.actions.webhook_secret = Secret::new(secret);
    let problem = config.check().err().map(|error| error.to_string());
    assert_eq!(problem.is_some(), names.is_some(), "{problem:?}");
    if let (Some(problem), Some(name)) = (problem, names) {
        assert!(problem.contains(name), "{problem}");
        assert!(secret.is_empty() || !problem.contains(secret), "{problem}");
    }
}

#[test]
fn the_hooks_secret_can_be_set_by_a_variable() {
    let config = load("", &[("TIER0_ACTIONS__WEBHOOK_SECRET", "sixteen letters!")]).unwrap();
    assert_eq!(config.actions.webhook_secret.reveal(), "sixteen letters!");
}

#[test]
fn a_named_file_must_exist() {
    let error = Config::load(Some(Path::new("no/such/file.toml"))).unwrap_err();
    assert!(matches!(error, ConfigError::Read { .. }), "{error}");
    assert!(error.to_string().contains("no/such/file.toml"));
}

#[test]
fn keys_do_not_show_in_debug_output() {
    let mut config = Config::default();
    config.server.api_keys = vec![ApiKey::new("a-secret")];
    config.actions.webhook_secret = Secret::new("a-secret of the hook");
    assert!(!format!("{config:?}").contains("a-secret"));
}

#[rstest]
#[case("auto", Device::Auto)]
#[case("cpu", Device::Cpu)]
#[case("cuda:0", Device::Cuda(0))]
#[case("cuda:12", Device::Cuda(12))]
fn devices_read_as_they_are_written(#[case] text: &str, #[case] device: Device) {
    assert_eq!(text.parse(), Ok(device));
    assert_eq!(device.to_string(), text);
}

#[rstest]
#[case("cuda")]
#[case("cuda:")]
#[case("cuda:-1")]
#[case("CPU")]
fn other_devices_are_refused(#[case] text: &str) {
    assert!(text.parse::<Device>().is_err());
}
