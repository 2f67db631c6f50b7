//! The calls of a streamed answer, put together from their pieces.
//!
//! A piece may say which call it belongs to by the call's index, which is a key and not a position, and by its id. Providers
//! leave either out, repeat them, or make new ones in the middle. What the keys do not decide is decided only where a single
//! call can be meant; otherwise each call that could be is unclear, and an unclear call is not made: better to ask the model
//! again than to have an effect on the wrong task.
//!
//! Known habits: no `index` and no id (Gemini), all calls at index 0 (Ollama), name and id null or repeated in later
//! fragments (vLLM), a new id in each fragment (some gateways), indexes that begin at 1.

use errand_store::lifecycle::RequestedCall;
use serde_json::{Map, Value};

use super::{AnswerTooLarge, pieces::Pieces};

mod progress;

use progress::{Phase, Progress, begins_object};

/// Bytes of arguments in one call.
const MAX_ARGUMENTS: usize = 128 * 1024;
/// Calls in one answer.
const MAX_CALLS: usize = 512;
/// Characters of a name or an id that are kept.
const MAX_NAME: usize = 128;

/// A piece of a call, as one chunk of the stream carries it. An empty id or name is none.
#[derive(Debug, Clone, Default)]
pub(crate) struct CallPiece {
    /// Which call of the answer, if the provider says.
    pub(crate) index: Option<i64>,
    /// The call's id, if this piece has it.
    pub(crate) id: Option<String>,
    /// The tool's name, if this piece has it.
    pub(crate) name: Option<String>,
    /// More of the arguments, as WTF-8.
    pub(crate) arguments: Vec<u8>,
    /// Fields of the call that are the provider's own.
    pub(crate) extra: Map<String, Value>,
}

/// The calls so far, in the order in which they began.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    calls: Vec<Call>,
}

#[derive(Debug, Default)]
struct Call {
    index: Option<i64>,
    id: Option<String>,
    name: Option<String>,
    arguments: Pieces,
    progress: Progress,
    extra: Map<String, Value>,
    is_unclear: bool,
}

/// Where a piece goes.
enum Place {
    /// To this call.
    At(usize),
    /// It begins a call.
    New,
    /// It could belong to any of these.
    Unclear(Vec<usize>),
}

impl Calls {
    /// Adds a piece.
    ///
    /// # Errors
    /// There are more calls, or more arguments of one, than any honest answer has.
    pub(crate) fn push(&mut self, mut piece: CallPiece) -> Result<(), AnswerTooLarge> {
        piece.id = piece.id.filter(|id| !id.is_empty());
        piece.name = piece.name.filter(|name| !name.is_empty());
        if piece.id.is_none()
            && piece.name.is_none()
            && piece.arguments.is_empty()
            && piece.extra.is_empty()
        {
            return Ok(());
        }
        let place = match self.place(&piece) {
            Place::At(place) => place,
            Place::New => self.begin()?,
            Place::Unclear(places) => {
                for &place in &places {
                    self.calls[place].is_unclear = true;
                }
                // It is kept for the record: as a call of its own, if it may be one.
                match places.last() {
                    Some(&last) if piece.name.is_none() => last,
                    _ => {
                        let place = self.begin()?;
                        self.calls[place].is_unclear = true;
                        place
                    }
                }
            }
        };
        self.calls[place].add(piece)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// The whole calls, in the order of their indexes if all have one, under ids that are there and differ.
    pub(crate) fn build(mut self) -> Vec<RequestedCall> {
        if self.calls.iter().all(|call| call.index.is_some()) {
            self.calls.sort_by_key(|call| call.index);
        }
        let mut seen = std::collections::HashSet::new();
        let with_id = |(n, call): (usize, Call)| {
            let mut id = call.id.unwrap_or_default();
            let mut number = n;
            while id.is_empty() || !seen.insert(id.clone()) {
                // Nine letters and digits: the only form that Mistral takes, and fine with everybody else.
                id = format!("call{number:05}");
                number += MAX_CALLS;
            }
            RequestedCall {
                id,
                name: call.name.unwrap_or_default(),
                arguments: call.arguments.into_string(),
                extra: call.extra,
                is_unclear: call.is_unclear,
            }
        };
        self.calls.into_iter().enumerate().map(with_id).collect()
    }

    fn begin(&mut self) -> Result<usize, AnswerTooLarge> {
        if self.calls.len() == MAX_CALLS {
            return Err(AnswerTooLarge);
        }
        self.calls.push(Call::default());
        Ok(self.calls.len() - 1)
    }

    fn place(&self, piece: &CallPiece) -> Place {
        match (piece.index, &piece.id) {
            (Some(index), _) => self.by_index(index, piece),
            (None, Some(id)) => match self.find(|call| call.id.as_deref() == Some(id)) {
                places if places.is_empty() => self.by_elimination(piece),
                places => self.among(&places, piece),
            },
            (None, None) => self.by_elimination(piece),
        }
    }

    /// The index is the key. Calls share one if a provider says 0 for all; then the id tells them apart.
    fn by_index(&self, index: i64, piece: &CallPiece) -> Place {
        let here = self.find(|call| call.index == Some(index));
        let Some(&last) = here.last() else {
            return self.by_new_index(piece);
        };
        let Some(id) = &piece.id else {
            return self.among(&here, piece);
        };
        let same: Vec<usize> = here
            .iter()
            .copied()
            .filter(|&place| self.calls[place].id.as_ref() == Some(id))
            .collect();
        if !same.is_empty() {
            return self.among(&same, piece);
        }
        match (&self.calls[last].id, &piece.name) {
            // The id of a call that began without one, or a new call.
            (None, _) => self.among(&here, piece),
            (Some(_), Some(_)) => self.beside(&here, piece),
            // A new id in the middle of a call.
            (Some(_), None) => self.among(&here, piece),
        }
    }

    /// The first piece of its index. Without a name it may also belong to a call that has no index so far.
    fn by_new_index(&self, piece: &CallPiece) -> Place {
        if piece.name.is_some() {
            return Place::New;
        }
        let of_id = self.find(|call| piece.id.is_some() && call.id == piece.id);
        let under_way = self.find(|call| {
            !call.is_whole()
                && (call.index.is_none() || (piece.id.is_some() && call.id == piece.id))
        });
        match (of_id.as_slice(), under_way.as_slice()) {
            ([only], _) if self.calls[*only].index.is_none() => self.against(*only, piece),
            (_, []) => Place::New,
            (_, several) => Place::Unclear(several.to_vec()),
        }
    }

    /// No key: the piece begins a call, or goes on with the only one that is under way.
    fn by_elimination(&self, piece: &CallPiece) -> Place {
        let under_way = self.find(|call| !call.is_whole());
        match (&piece.name, under_way.as_slice()) {
            (Some(_), []) => Place::New,
            (None, []) if self.calls.is_empty() => Place::New,
            // Behind the end of the last call: white space, or something that spoils it.
            (None, []) => Place::At(self.calls.len() - 1),
            (None, [only]) => Place::At(*only),
            (Some(name), [only]) => {
                let call = &self.calls[*only];
                let is_before = call.progress.phase() == Phase::Before;
                if piece.id.is_some() && call.id.is_some() {
                    return self.beside(&under_way, piece);
                }
                match &call.name {
                    None if is_before => Place::At(*only),
                    // Whether one call or two, of which one has no arguments, comes to the same.
                    Some(before) if before == name && is_before => Place::At(*only),
                    // Heads of calls without arguments, one after the other.
                    Some(_) if is_before => Place::New,
                    _ if piece.id.is_some() => self.beside(&under_way, piece),
                    // A name that is repeated in each fragment, by a provider that knows no keys.
                    Some(before)
                        if before == name
                            && call.id.is_none()
                            && call.index.is_none()
                            && !piece.arguments.is_empty()
                            && !begins_object(&piece.arguments) =>
                    {
                        Place::At(*only)
                    }
                    _ => Place::Unclear(vec![*only]),
                }
            }
            (Some(_), several) if piece.id.is_some() => self.beside(several, piece),
            (_, several) => Place::Unclear(several.to_vec()),
        }
    }

    /// A piece with a name, under an id that is new: the head of a call. But for one that goes on with arguments that another has
    /// begun, under a name that is repeated and an id that is made anew in each fragment.
    fn beside(&self, others: &[usize], piece: &CallPiece) -> Place {
        let mut within: Vec<usize> = others.to_vec();
        within.retain(|&place| self.calls[place].progress.phase() == Phase::Within);
        let is_head = piece.arguments.trim_ascii().is_empty() || begins_object(&piece.arguments);
        let is_repeated = within
            .iter()
            .any(|&place| self.calls[place].name == piece.name);
        match within.is_empty() || (is_head && !is_repeated) {
            true => Place::New,
            false => Place::Unclear(within),
        }
    }

    /// One of the calls that the piece's key names, the last of them first.
    fn among(&self, places: &[usize], piece: &CallPiece) -> Place {
        let under_way: Vec<usize> = places
            .iter()
            .copied()
            .filter(|&place| !self.calls[place].is_whole())
            .collect();
        let Some(&last) = places.last() else {
            return Place::New;
        };
        match under_way.as_slice() {
            [] => self.against(last, piece),
            [only] if *only == last || piece.name.is_none() => self.against(*only, piece),
            several => Place::Unclear(several.to_vec()),
        }
    }

    /// Whether a piece with the call's key goes on with the call, or begins another under the same key.
    fn against(&self, place: usize, piece: &CallPiece) -> Place {
        let call = &self.calls[place];
        let is_new = begins_object(&piece.arguments);
        let unclear = || Place::Unclear(vec![place]);
        match (&call.name, &piece.name) {
            (_, None) => Place::At(place),
            (None, Some(_)) if call.is_whole() && is_new => unclear(),
            (None, Some(_)) => Place::At(place),
            (Some(before), Some(now)) if before == now => match call.progress.phase() {
                Phase::Before => Place::At(place),
                Phase::Within if is_new => unclear(),
                Phase::Within => Place::At(place),
                Phase::Behind if is_new => Place::New,
                Phase::Behind => Place::At(place),
            },
            (Some(_), Some(_)) if call.is_whole() => Place::New,
            (Some(_), Some(_)) => unclear(),
        }
    }

    fn find(&self, is_meant: impl Fn(&Call) -> bool) -> Vec<usize> {
        let calls = self.calls.iter().enumerate();
        calls
            .filter(|(_, call)| is_meant(call))
            .map(|(place, _)| place)
            .collect()
    }
}

impl Call {
    /// Nothing more of it is awaited. What an unclear call still lacks, nobody can know.
    fn is_whole(&self) -> bool {
        !self.is_unclear && self.progress.phase() == Phase::Behind
    }

    fn add(&mut self, piece: CallPiece) -> Result<(), AnswerTooLarge> {
        self.index = self.index.or(piece.index);
        // The first id stays: it is under that one that the model knows the call.
        self.id = self.id.take().or_else(|| piece.id.map(|id| short(&id)));
        let name = piece.name.map(|name| short(&name));
        self.name = self.name.take().or(name);
        for (field, value) in piece.extra {
            self.extra.insert(field, value);
        }
        if self.arguments.as_str().len() + piece.arguments.len() > MAX_ARGUMENTS {
            return Err(AnswerTooLarge);
        }
        self.progress.see(&piece.arguments);
        self.arguments.push(&piece.arguments);
        Ok(())
    }
}

fn short(text: &str) -> String {
    text.chars().filter(|c| *c != '\0').take(MAX_NAME).collect()
}
