//! The sources that override the defaults: a file and the variables of the environment.

use std::{ffi::OsString, fs, path::PathBuf};

use super::{Config, ConfigError};

/// What the names of variables begin with.
const VARIABLE_PREFIX: &str = "TIER0_";
/// Variables that have a short name because scripts set them often.
const SHORT_VARIABLES: [(&str, &str); 3] =
    [("TIER0_DATA", "store.data_dir"), ("TIER0_MODELS", "models.dir"), ("TIER0_THREADS", "model.threads")];
/// Keys whose variables hold a list, separated by commas.
const LIST_KEYS: [&str; 3] = ["server.api_keys", "server.cors_origins", "model.cores"];

/// The defaults, overridden by the file and then by the variables, in their order.
pub(super) fn merge(file: Option<&ConfigFile>, variables: &[Variable]) -> Result<Config, ConfigError> {
    let mut sources = config::Config::builder();
    if let Some(file) = file {
        file.check()?;
        sources = sources.add_source(file.source());
    }
    for variable in variables {
        variable.check()?;
        sources = variable.apply(sources).map_err(merge_error)?;
    }
    read(sources).map_err(merge_error)
}

type Sources = config::ConfigBuilder<config::builder::DefaultState>;

fn read(sources: Sources) -> Result<Config, config::ConfigError> {
    sources.build()?.try_deserialize()
}

fn merge_error(source: config::ConfigError) -> ConfigError {
    ConfigError::Merge(Box::new(source))
}

/// A configuration file, read but not yet understood.
pub(super) struct ConfigFile {
    pub(super) path: PathBuf,
    pub(super) text: String,
}

impl ConfigFile {
    pub(super) fn read(path: PathBuf) -> Result<Self, ConfigError> {
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Self { path, text }),
            Err(source) => Err(ConfigError::Read { path, source }),
        }
    }

    /// The TOML reader knows the line of a fault, and takes no string for a number.
    fn check(&self) -> Result<(), ConfigError> {
        match toml::from_str::<Config>(&self.text) {
            Ok(_) => Ok(()),
            Err(source) => Err(ConfigError::File { path: self.path.clone(), source: Box::new(source) }),
        }
    }

    fn source(&self) -> impl config::Source + Send + Sync + 'static {
        config::File::from_str(&self.text, config::FileFormat::Toml)
    }
}

/// A variable of the environment that sets a key.
pub(super) struct Variable {
    name: String,
    key: String,
    value: String,
}

impl Variable {
    /// Reads the variable alone: once merged, nobody can say which one was wrong.
    fn check(&self) -> Result<(), ConfigError> {
        match self.apply(config::Config::builder()).and_then(read) {
            Ok(_) => Ok(()),
            Err(source) => Err(ConfigError::Variable { name: self.name.clone(), source: Box::new(source) }),
        }
    }

    fn apply(&self, sources: Sources) -> Result<Sources, config::ConfigError> {
        if LIST_KEYS.contains(&self.key.as_str()) {
            let items = self.value.split(',').map(str::trim);
            let items: Vec<_> = items.filter(|item| !item.is_empty()).collect();
            sources.set_override(&self.key, items)
        } else {
            sources.set_override(&self.key, self.value.as_str())
        }
    }
}

/// The variables that set a key: short names first, so that a long one wins over them.
pub(super) fn variables(
    environment: impl Iterator<Item = (OsString, OsString)>,
) -> Result<Vec<Variable>, ConfigError> {
    let mut found = Vec::new();
    for (name, value) in environment {
        let Some((name, key)) = name.to_str().and_then(|name| Some((name, key_of(name)?))) else {
            continue;
        };
        let name = name.to_owned();
        match value.into_string() {
            Ok(value) => found.push(Variable { name, key, value }),
            Err(_) => return Err(ConfigError::NotUnicode { name }),
        }
    }
    found.sort_by_key(|variable| variable.name.contains("__"));
    Ok(found)
}

fn key_of(name: &str) -> Option<String> {
    if let Some((_, key)) = SHORT_VARIABLES.iter().find(|(short, _)| *short == name) {
        return Some((*key).to_owned());
    }
    let (section, key) = name.strip_prefix(VARIABLE_PREFIX)?.split_once("__")?;
    Some(format!("{section}.{}", key.replace("__", ".")).to_lowercase())
}
