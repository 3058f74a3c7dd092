//! The texts in `prompts/`, one file for each purpose: mostly what the model is told.

use minijinja::{Environment, UndefinedBehavior, Value, syntax::SyntaxConfig};

use super::SupportError;

/// A text in `prompts/`, by its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Prompt {
    ComposeSystem,
    ComposeUser,
    ComposeRetry,
    ExtractSystem,
    ExtractUser,
    /// Introduces an article's words where no model phrases them.
    Quote,
    TranslateSystem,
}

impl Prompt {
    const ALL: [Self; 7] = [
        Self::ComposeSystem,
        Self::ComposeUser,
        Self::ComposeRetry,
        Self::ExtractSystem,
        Self::ExtractUser,
        Self::Quote,
        Self::TranslateSystem,
    ];

    fn file(self) -> (&'static str, &'static str) {
        macro_rules! file {
            ($name:literal) => {
                ($name, include_str!(concat!("../../prompts/", $name)))
            };
        }
        match self {
            Self::ComposeSystem => file!("compose_system.jinja"),
            Self::ComposeUser => file!("compose_user.jinja"),
            Self::ComposeRetry => file!("compose_retry.jinja"),
            Self::ExtractSystem => file!("extract_system.jinja"),
            Self::ExtractUser => file!("extract_user.jinja"),
            Self::Quote => file!("quote.jinja"),
            Self::TranslateSystem => file!("translate_system.jinja"),
        }
    }
}

/// All texts, compiled.
#[derive(Debug)]
pub(super) struct Prompts(Environment<'static>);

impl Prompts {
    /// Compiles every text.
    ///
    /// # Errors
    /// When one of them is not valid Jinja.
    pub(super) fn compile() -> Result<Self, SupportError> {
        let mut environment = Environment::new();
        let syntax =
            SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build().map_err(|e| failed(&e))?;
        environment.set_syntax(syntax);
        // A misspelt variable is an error, not a hole in what the model is told.
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        for prompt in Prompt::ALL {
            let (name, source) = prompt.file();
            environment.add_template(name, source).map_err(|e| failed(&e))?;
        }
        Ok(Self(environment))
    }

    /// Fills a text in; white space around it is dropped.
    ///
    /// # Errors
    /// When the text names something that `values` lacks.
    pub(super) fn render(&self, prompt: Prompt, values: Value) -> Result<String, SupportError> {
        let template = self.0.get_template(prompt.file().0).map_err(|e| failed(&e))?;
        template.render(values).map(|text| text.trim().to_owned()).map_err(|e| failed(&e))
    }
}

fn failed(error: &minijinja::Error) -> SupportError {
    SupportError::Stage { stage: "prompts", reason: error.to_string() }
}
