//! The agent's instructions: the built-in ones, or an operator's own from a file with variables. They are fixed for as long as the process
//! runs: the system prompt is the same bytes for every turn, so a provider's prompt cache knows it again.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use errand_server::config::Invalid;
use minijinja::{Environment, UndefinedBehavior, Value};

use crate::agent::BUILT_IN_INSTRUCTIONS;

/// Bytes of a file of instructions.
const MAX_FILE: u64 = 64 * 1024;
/// The line before and behind the settings at the beginning of a file.
const FENCE: &str = "---";
/// The variable that stands for the built-in instructions.
const BUILT_IN: &str = "built_in";
const FILE: &str = "AGENT_INSTRUCTIONS_FILE";
const VARIABLES: &str = "AGENT_VARIABLES";

/// Where the agent's instructions come from.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct InstructionsConfig {
    /// A file with the agent's instructions, in place of the built-in ones
    #[arg(long, env = "AGENT_INSTRUCTIONS_FILE")]
    agent_instructions_file: Option<String>,

    /// Variables of that file: name=value, separated by commas
    #[arg(long, env = "AGENT_VARIABLES", value_delimiter = ',')]
    agent_variables: Vec<String>,
}

impl InstructionsConfig {
    fn given_file(&self) -> Option<&Path> {
        let file = self.agent_instructions_file.as_deref();
        file.filter(|file| !file.is_empty()).map(Path::new)
    }

    fn given_variables(&self) -> impl Iterator<Item = &str> {
        let variables = self.agent_variables.iter().map(|pair| pair.trim());
        variables.filter(|pair| !pair.is_empty())
    }
}

/// How the agent is to behave.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Instructions {
    /// The system prompt.
    pub(crate) text: Arc<str>,
    /// `temperature` of each request, if it is set: 0 to 2.
    pub(crate) temperature: Option<f32>,
}

impl Instructions {
    /// Reads what is configured.
    ///
    /// # Errors
    /// Names the variable: the file cannot be read, is too large or empty, sets what there is not, or uses a variable that has no value.
    pub(crate) fn load(config: &InstructionsConfig) -> Result<Self, Invalid> {
        let variables = variables(config.given_variables())?;
        let Some(path) = config.given_file() else {
            return Ok(Self {
                text: BUILT_IN_INSTRUCTIONS.into(),
                temperature: None,
            });
        };
        let text =
            read(path).map_err(|why| Invalid::new(FILE, format!("{}: {why}", path.display())))?;
        let (settings, template) = parts(&text);
        let temperature = temperature(settings).map_err(|why| Invalid::new(FILE, why))?;
        let text = rendered(template, variables).map_err(|why| Invalid::new(FILE, why))?;
        Ok(Self {
            text: text.into(),
            temperature,
        })
    }
}

fn read(path: &Path) -> Result<String, String> {
    let size = std::fs::metadata(path)
        .map_err(|error| error.to_string())?
        .len();
    if size > MAX_FILE {
        return Err(format!("it has {size} bytes; at most {MAX_FILE} are read"));
    }
    std::fs::read_to_string(path).map_err(|error| error.to_string())
}

/// The settings at the beginning of a file, if it has any, and the rest.
fn parts(text: &str) -> (&str, &str) {
    let settings = text
        .strip_prefix(FENCE)
        .and_then(|rest| rest.trim_start_matches('\r').strip_prefix('\n'))
        .and_then(|rest| rest.split_once("\n---"));
    match settings {
        Some((settings, rest)) => (settings, rest.trim_start_matches(['\r', '\n'])),
        None => ("", text),
    }
}

/// What the settings say of the temperature; it is all that they may say.
fn temperature(settings: &str) -> Result<Option<f32>, String> {
    let mut temperature = None;
    for line in settings
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
    {
        let value = line
            .strip_prefix("temperature:")
            .ok_or("the settings between the lines --- may only be temperature: a number")?;
        let number: Option<f32> = value.trim().parse().ok();
        let number = number.filter(|number| (0.0..=2.0).contains(number));
        temperature = Some(number.ok_or("temperature must be a number from 0 to 2")?);
    }
    Ok(temperature)
}

/// The values of an operator's variables, by name.
fn variables<'a>(
    given: impl Iterator<Item = &'a str>,
) -> Result<BTreeMap<String, String>, Invalid> {
    let mut variables = BTreeMap::new();
    for pair in given {
        let named = pair
            .split_once('=')
            .map(|(name, value)| (name.trim(), value.trim()));
        match named {
            Some((name, value)) if is_name(name) && name != BUILT_IN => {
                variables.insert(name.to_owned(), value.to_owned());
            }
            _ => {
                return Err(Invalid::new(
                    VARIABLES,
                    format!(
                        "expected name=value, separated by commas, of letters, digits and _; {BUILT_IN} is taken"
                    ),
                ));
            }
        }
    }
    Ok(variables)
}

fn is_name(name: &str) -> bool {
    let letter = |c: char| c.is_ascii_alphabetic() || c == '_';
    name.starts_with(letter) && name.chars().all(|c| letter(c) || c.is_ascii_digit())
}

/// The template with its variables. One that has no value is refused, wherever it stands.
fn rendered(template: &str, mut variables: BTreeMap<String, String>) -> Result<String, String> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    let template = environment
        .template_from_str(template)
        .map_err(|error| format!("line {}: {error}", error.line().unwrap_or(1)))?;
    variables.insert(
        BUILT_IN.to_owned(),
        BUILT_IN_INSTRUCTIONS.trim_end().to_owned(),
    );
    // Also those in a branch that is not taken: a slip is found at the start, and not with a later value.
    let mut unknown: Vec<String> = template.undeclared_variables(false).into_iter().collect();
    unknown.retain(|name| !variables.contains_key(name));
    unknown.sort();
    if !unknown.is_empty() {
        let known: Vec<&str> = variables.keys().map(String::as_str).collect();
        return Err(format!(
            "no value for {}; known are {}, and more can be set in {VARIABLES}",
            unknown.join(", "),
            known.join(", ")
        ));
    }
    let text = template
        .render(Value::from_pairs(variables))
        .map_err(|error| format!("line {}: {error}", error.line().unwrap_or(1)))?;
    match text.trim() {
        "" => Err("there are no instructions in it".to_owned()),
        text => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, given: &[&str]) -> Result<(String, Option<f32>), String> {
        let variables = variables(given.iter().copied()).map_err(|error| error.to_string())?;
        let (settings, template) = parts(text);
        let temperature = temperature(settings)?;
        Ok((rendered(template, variables)?, temperature))
    }

    #[test]
    fn a_file_is_read_with_its_settings_and_variables() {
        let whole = format!("You work for Acme.\n\n{}", BUILT_IN_INSTRUCTIONS.trim());
        for (text, expected, temperature) in [
            ("Be kind.\n", "Be kind.", None),
            (
                "---\ntemperature: 0.2\n---\nBe kind.",
                "Be kind.",
                Some(0.2),
            ),
            (
                "---\r\ntemperature: 1\r\n---\r\nBe kind.\r\n",
                "Be kind.",
                Some(1.0),
            ),
            (
                "You work for {{ company }}.\n\n{{ built_in }}\n",
                whole.as_str(),
                None,
            ),
            (
                "{% if company == \"Acme\" %}A{% else %}B{% endif %}",
                "A",
                None,
            ),
            ("{{ company }} <b>&amp;", "Acme <b>&amp;", None),
        ] {
            let read = of(text, &["company=Acme"]);
            assert_eq!(read, Ok((expected.to_owned(), temperature)), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused_and_named() {
        for (text, given, named) in [
            ("{{ compnay }}", "company=Acme", "compnay"),
            ("{% if company %}{{ tone }}{% endif %}", "company=", "tone"),
            ("{{ company", "company=Acme", "line 1"),
            ("---\ntemperature: hot\n---\nx", "company=Acme", "0 to 2"),
            ("---\ntemperature: NaN\n---\nx", "company=Acme", "0 to 2"),
            ("---\nmodel: x\n---\nx", "company=Acme", "temperature"),
            (" \n", "company=Acme", "no instructions"),
            ("x", "built_in=mine", "AGENT_VARIABLES"),
            ("x", "company", "AGENT_VARIABLES"),
            ("x", "2x=1", "AGENT_VARIABLES"),
        ] {
            let refused = of(text, &[given]).expect_err(text);
            assert!(refused.contains(named), "{text}: {refused}");
        }
    }
}
