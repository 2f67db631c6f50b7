//! What survives: crashes, outages, restarts, frozen clients, a year of running.

mod accidents;
mod circuits;
mod commits;
mod crashes;
mod fallbacks;
mod first_tokens;
mod growth;
mod leases;
mod model_trouble;
mod outages;
mod pool;
mod pooler;
mod queue;
mod restarts;
mod sets;
mod silences;
mod sleep;
mod summaries;
mod supervision;
mod sweeps;
mod transitions;
mod workers;
