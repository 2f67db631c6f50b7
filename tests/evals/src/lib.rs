//! Evals: natural requests, played against a model through the whole system, and judged by what became of the tasks.
//!
//! `cases` are read from files, each with its [`clock`]; [`system`] is what they are played on, [`play`] plays one of them, `state` are the
//! tasks before and after, `judge` says whether they are as they should be. [`models`] are who answers: whatever the worker is configured
//! with, or a stand-in, or a [`recording`]. [`report`] is what it comes to, shown by `table`, [`page`] and [`compare`].
//!
//! No word that a model says is judged, ever.

pub mod cases;
pub mod clock;
pub mod command;
pub mod compare;
mod judge;
pub mod models;
pub mod page;
pub mod play;
pub mod prices;
pub mod recording;
pub mod report;
pub mod said;
mod state;
pub mod system;
mod table;
mod text;
