//! The message in English, where it is in another language.

use minijinja::context;

use crate::model::chat::{Message, Role};
use crate::support::{
    SupportError,
    llm::{Completion, LanguageModel, excerpt},
    prompts::Prompt,
    texts::OwnWords,
};

/// Tokens of a translation at most.
const MAX_TRANSLATION_TOKENS: usize = 400;

/// Has the model translate a message into English.
///
/// # Errors
/// When the engine refuses the request or breaks off.
pub(in crate::support) async fn translate(
    model: &LanguageModel,
    message: &OwnWords,
) -> Result<Completion, SupportError> {
    let system = model.prompts.render(Prompt::TranslateSystem, context! {})?;
    let user = excerpt(message.as_str());
    let messages = [Message::new(Role::System, system), Message::new(Role::User, user)];
    model.complete(model.request(&messages, MAX_TRANSLATION_TOKENS)?).await
}
