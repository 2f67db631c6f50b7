//! Tokens of an answer, as providers count them.

use errand_store::read::usage::Tokens;

use super::lenient::Object;

/// What a `usage` says; none if it does not tell both what was read and what was written.
pub(super) fn read(usage: &Object<'_>) -> Option<Tokens> {
    let tokens = |names: [&str; 2]| names.into_iter().find_map(|name| usage.number(name));
    let input = tokens(["prompt_tokens", "input_tokens"])?;
    let output = tokens(["completion_tokens", "output_tokens"])?;
    let (output, reasoning) = with_reasoning(usage, input, output);
    Some(Tokens {
        input,
        cached: cached(usage),
        output,
        reasoning,
        is_estimate: false,
    })
}

/// What of the input came from the provider's prompt cache: where OpenAI tells it, in either of its APIs, or as DeepSeek does.
fn cached(usage: &Object<'_>) -> i64 {
    detail(
        usage,
        ["prompt_tokens_details", "input_tokens_details"],
        "cached_tokens",
    )
    .or_else(|| usage.number("prompt_cache_hit_tokens"))
    .unwrap_or(0)
}

/// All that was written, and what of it was reasoning.
///
/// With OpenAI the reasoning is part of what was written. xAI tells it beside that, and Gemini not at all; with both it is in `total_tokens`, and is
/// paid for like the rest.
fn with_reasoning(usage: &Object<'_>, input: i64, output: i64) -> (i64, i64) {
    let told = detail(
        usage,
        ["completion_tokens_details", "output_tokens_details"],
        "reasoning_tokens",
    );
    let total = usage.number("total_tokens").unwrap_or(0);
    let beside = total.saturating_sub(input).saturating_sub(output);
    let is_reasoning = told.is_none_or(|told| told == beside);
    match beside {
        1.. if is_reasoning => (output.saturating_add(beside), beside),
        _ => (output, told.unwrap_or(0)),
    }
}

fn detail(usage: &Object<'_>, objects: [&str; 2], name: &str) -> Option<i64> {
    let mut details = objects.into_iter().filter_map(|name| usage.object(name));
    details.find_map(|details| details.number(name))
}
