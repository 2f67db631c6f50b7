//! Guardrails: named checks of what a person says, before it is stored or sent to a provider, and of what the model says, before anybody reads
//! it. Each is a small pure function; none is on unless it is named in `GUARDRAILS`.
//!
//! They look for what has a form: numbers with a check digit, keys with a known beginning, markup. They are no judge of meaning, and no
//! promise that nothing of the kind gets through.

use std::{ops::Range, sync::LazyLock};

use regex_lite::Regex;

mod cards;

/// What stands in place of what was taken out.
const REMOVED: &str = "[removed]";

/// A check of a person's message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Input {
    CardNumbers,
    Keys,
}

/// A check of the model's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Output {
    Secrets,
    Images,
}

const INPUTS: [(&str, Input); 2] = [
    ("input.card_numbers", Input::CardNumbers),
    ("input.keys", Input::Keys),
];
const OUTPUTS: [(&str, Output); 2] = [
    ("output.secrets", Output::Secrets),
    ("output.images", Output::Images),
];

/// The guardrails of an installation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Guardrails {
    input: Vec<Input>,
    output: Vec<Output>,
}

/// A message that is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tripped {
    /// The name of the guardrail.
    pub name: &'static str,
    /// What its author is told.
    pub message: &'static str,
}

impl Guardrails {
    /// Those of these names; empty ones count as absent.
    ///
    /// # Errors
    /// There is none of a name; says which there are.
    pub fn read<S: AsRef<str>>(names: &[S]) -> Result<Self, String> {
        let mut guardrails = Self::default();
        for name in names.iter().map(|name| name.as_ref().trim()) {
            let input = INPUTS.iter().find(|(known, _)| *known == name);
            let output = OUTPUTS.iter().find(|(known, _)| *known == name);
            match (input, output) {
                (Some((_, input)), _) => guardrails.input.push(*input),
                (None, Some((_, output))) => guardrails.output.push(*output),
                (None, None) if name.is_empty() => {}
                (None, None) => {
                    let inputs = INPUTS.iter().map(|(name, _)| *name);
                    let known: Vec<_> = inputs
                        .chain(OUTPUTS.iter().map(|(name, _)| *name))
                        .collect();
                    return Err(format!(
                        "expected names separated by commas: {}",
                        known.join(", ")
                    ));
                }
            }
        }
        Ok(guardrails)
    }

    /// Why a message is not accepted, if it is not.
    pub fn refuse(&self, message: &str) -> Option<Tripped> {
        self.input.iter().find_map(|input| input.check(message))
    }

    /// Whether what the model says is checked. It is then held back until it is whole.
    pub fn check_output(&self) -> bool {
        !self.output.is_empty()
    }

    /// What the model said, without what is not to be shown.
    pub fn clean(&self, text: String) -> String {
        self.output
            .iter()
            .fold(text, |text, output| output.clean(text))
    }
}

impl Input {
    fn check(self, message: &str) -> Option<Tripped> {
        let (is_found, name, message) = match self {
            Self::CardNumbers => (
                !cards::find(message).is_empty(),
                "input.card_numbers",
                "This looks like it has the number of a payment card. It was neither stored nor sent on: leave the number out.",
            ),
            Self::Keys => (
                !keys(message).is_empty(),
                "input.keys",
                "This looks like it has a secret key or token. It was neither stored nor sent on: leave it out.",
            ),
        };
        is_found.then_some(Tripped { name, message })
    }
}

impl Output {
    fn clean(self, text: String) -> String {
        match self {
            Self::Secrets => without_secrets(text),
            Self::Images => without_images(text),
        }
    }
}

/// The text without card numbers and keys.
fn without_secrets(text: String) -> String {
    let mut found = cards::find(&text);
    found.extend(keys(&text));
    if found.is_empty() {
        return text;
    }
    found.sort_by_key(|place| place.start);
    let mut clean = String::with_capacity(text.len());
    let mut end = 0;
    for place in found {
        if place.start >= end {
            clean.push_str(&text[end..place.start]);
            clean.push_str(REMOVED);
        }
        end = end.max(place.end);
    }
    clean.push_str(&text[end..]);
    clean
}

/// The text without images, which a client may load as soon as it shows them, and with them whatever a model was made to put into their address.
/// Their descriptions stay.
fn without_images(text: String) -> String {
    static MARKDOWN: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"!\[([^\]]*)\](\([^)]*\)|\[[^\]]*\])").ok());
    static HTML: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(
            r"(?i)<\s*(img|image|picture|source|video|audio|iframe|object|embed|svg)\b[^>]*>?",
        )
        .ok()
    });
    let replaced = |regex: &Option<Regex>, text: String, by: &str| match regex {
        Some(regex) if regex.is_match(&text) => regex.replace_all(&text, by).into_owned(),
        _ => text,
    };
    let text = replaced(&MARKDOWN, text, "$1");
    replaced(&HTML, text, "")
}

/// Where keys and tokens of well-known makers stand, and private keys.
fn keys(text: &str) -> Vec<Range<usize>> {
    // Of each maker what its documentation says of the form; as much as tells it from a word.
    static KEYS: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(concat!(
            r"-----BEGIN [A-Z ]*PRIVATE KEY-----(?s:.*?-----END [A-Z ]*PRIVATE KEY-----)?",
            // OpenAI, Anthropic, OpenRouter; Stripe.
            r"|\bsk-[A-Za-z0-9_-]{20,}|\b[rs]k_(live|test)_[A-Za-z0-9]{16,}",
            // AWS; Google.
            r"|\b(AKIA|ASIA)[A-Z0-9]{16}\b|\bAIza[A-Za-z0-9_-]{35}",
            // GitHub; GitLab; Slack.
            r"|\bgh[pousr]_[A-Za-z0-9]{30,}|\bgithub_pat_[A-Za-z0-9_]{22,}|\bglpat-[A-Za-z0-9_-]{20,}|\bxox[abeoprs]-[A-Za-z0-9-]{10,}",
            // A JSON Web Token (RFC 7519): header and body are JSON objects in base64url.
            r"|\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]*",
        ))
        .ok()
    });
    let Some(keys) = KEYS.as_ref() else {
        return Vec::new();
    };
    keys.find_iter(text).map(|found| found.range()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Guardrails {
        Guardrails::read(&[
            "input.card_numbers",
            " input.keys",
            "",
            "output.secrets",
            "output.images",
        ])
        .expect("names")
    }

    #[test]
    fn nothing_is_checked_unless_it_is_named() {
        let none = Guardrails::read::<&str>(&[]).expect("no names");
        let message = "my card is 4111 1111 1111 1111";
        assert_eq!(none.refuse(message), None);
        assert!(!none.check_output());
        assert_eq!(none.clean(message.to_owned()), message);
        assert_eq!(
            all().refuse(message).map(|tripped| tripped.name),
            Some("input.card_numbers")
        );
        let error = Guardrails::read(&["input.cards"]).expect_err("no such guardrail");
        assert!(
            error.contains("input.card_numbers") && error.contains("output.images"),
            "{error}"
        );
    }

    #[test]
    fn keys_are_known_by_their_form() {
        let jwt = "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJhZGEifQ.c2lnbmF0dXJl";
        for (message, is_refused) in [
            ("deploy with sk-proj-abcdefghijklmnopqrstuvwx please", true),
            ("AKIAIOSFODNN7EXAMPLE", true),
            (
                "the token is \"ghp_abcdefghijklmnopqrstuvwxyz0123456789\".",
                true,
            ),
            ("sk_live_abcdefghijklmnop", true),
            (jwt, true),
            (
                "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk\n",
                true,
            ),
            ("buy sk-ates and a sk-irt", false),
            ("renew the passport AKIA", false),
            ("read eyJ.eyJ. by Friday", false),
            ("task 01a21922-7a34-779c-96a3-b134d5deaf64 is done", false),
            ("Schlüssel beim Nachbarn abholen 🔑", false),
        ] {
            assert_eq!(all().refuse(message).is_some(), is_refused, "{message}");
        }
    }

    #[test]
    fn what_the_model_says_is_shown_without_secrets_and_images() {
        for (said, shown) in [
            (
                "Your card 4111-1111-1111-1111 is noted.",
                "Your card [removed] is noted.",
            ),
            (
                "é sk-abcdefghijklmnopqrstuvwx, sk-abcdefghijklmnopqrstuvwx",
                "é [removed], [removed]",
            ),
            (
                "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY----- end",
                "[removed] end",
            ),
            ("Done. ![tick](https://evil.example/?q=milk)", "Done. tick"),
            (
                "![a][b] and [a link](https://example.com)",
                "a and [a link](https://example.com)",
            ),
            ("x <IMG src=//evil.example/a> y <img src=x", "x  y "),
            ("- milk\n- 2 < 3\n", "- milk\n- 2 < 3\n"),
        ] {
            assert_eq!(all().clean(said.to_owned()), shown);
        }
    }
}
