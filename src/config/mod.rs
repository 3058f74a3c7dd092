//! The configuration: defaults, `tier0.toml`, `TIER0_*` variables and flags, merged once and checked.
//!
//! A leaf: it imports no other room. Each source overrides the one before it:
//!
//! 1. the defaults in `sections` (the shipped `tier0.toml` documents every one of them),
//! 2. the file: `--config FILE`, else `./tier0.toml`, else `tier0/tier0.toml` in the user's
//!    configuration folder,
//! 3. variables named `TIER0_SECTION__KEY` (a further `__` for a table in the section), such as `TIER0_SERVER__PORT`, and the two short ones
//!    `TIER0_DATA` and `TIER0_MODELS`,
//! 4. flags: the command line sets fields after [`Config::load`] and then calls [`Config::check`].

mod actions;
mod sections;
mod sources;

use std::{
    env,
    path::{Path, PathBuf},
};

use directories::BaseDirs;
use garde::Validate;

pub use actions::{Actions, Secret};
pub use sections::{
    ApiKey, Config, Device, KvType, Log, LogFormat, Model, Models, Server, Store, Support, SupportMode,
    UnknownDevice, Wording,
};
use sources::ConfigFile;

/// Name of the configuration file, in the working folder and in the user's.
const FILE_NAME: &str = "tier0.toml";

/// Why there is no configuration to start with.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is no TOML, or holds an unknown key or a value of the wrong type.
    #[error("the configuration file {path} is wrong: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Line, column, key and what was expected.
        source: Box<toml::de::Error>,
    },
    /// A variable names an unknown key or holds a value of the wrong type.
    #[error("the variable {name} is wrong: {source}")]
    Variable {
        /// The variable.
        name: String,
        /// Key, value and what was expected.
        source: Box<config::ConfigError>,
    },
    /// A variable's value is not Unicode.
    #[error("the variable {name} is wrong: its value is not valid Unicode")]
    NotUnicode {
        /// The variable.
        name: String,
    },
    /// The sources do not fit together.
    #[error("the configuration cannot be merged: {0}")]
    Merge(#[source] Box<config::ConfigError>),
    /// Values that cannot be worked with.
    #[error("the configuration holds values that cannot be used: {problems}")]
    Invalid {
        /// `key: what is wrong`, separated by semicolons.
        problems: String,
    },
    /// The system names no home folder to keep data in.
    #[error("there is no home folder to keep data in; set {variable} to a folder")]
    NoHome {
        /// The variable that names the folder instead.
        variable: &'static str,
    },
}

impl Config {
    /// Reads and merges the defaults, the file and the variables of this process.
    ///
    /// `file` is what `--config` named; without it the usual places are looked at, and none of
    /// them needs to exist.
    ///
    /// # Errors
    /// [`ConfigError`] with the file or variable, the key and what was expected there.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        let path = file.map(Path::to_owned).or_else(usual_file);
        let file = path.map(ConfigFile::read).transpose()?;
        let config = sources::merge(file.as_ref(), &sources::variables(env::vars_os())?)?;
        config.check()?;
        Ok(config)
    }

    /// Checks ranges. Call it again once flags have changed fields.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] naming every key that is out of range.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.validate().map_err(|report| {
            let problems: Vec<_> = report.iter().map(|(key, problem)| format!("{key}: {problem}")).collect();
            ConfigError::Invalid { problems: problems.join("; ") }
        })
    }

    /// The folder of the database and the index.
    ///
    /// # Errors
    /// [`ConfigError::NoHome`] when none is set and the system names no home folder.
    pub fn data_dir(&self) -> Result<PathBuf, ConfigError> {
        or_user_folder(&self.store.data_dir, "tier0", "TIER0_DATA")
    }

    /// The folder of downloaded models. It does not follow `store.data_dir`, so that several
    /// data folders share their models.
    ///
    /// # Errors
    /// [`ConfigError::NoHome`] when none is set and the system names no home folder.
    pub fn models_dir(&self) -> Result<PathBuf, ConfigError> {
        or_user_folder(&self.models.dir, "tier0/models", "TIER0_MODELS")
    }
}

fn usual_file() -> Option<PathBuf> {
    let here = PathBuf::from(FILE_NAME);
    let users = BaseDirs::new().map(|dirs| dirs.config_dir().join("tier0").join(FILE_NAME));
    std::iter::once(here).chain(users).find(|path| path.is_file())
}

fn or_user_folder(set: &Path, inside: &str, variable: &'static str) -> Result<PathBuf, ConfigError> {
    if !set.as_os_str().is_empty() {
        return Ok(set.to_owned());
    }
    let dirs = BaseDirs::new().ok_or(ConfigError::NoHome { variable })?;
    Ok(dirs.data_dir().join(inside))
}

#[cfg(test)]
mod tests;
