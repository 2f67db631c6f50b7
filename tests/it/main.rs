//! End-to-end tests: real Postgres, real sockets, the real protocols. Each test has a database and processes of its own.

mod system;

mod browser;
mod contract;
mod durability;
mod evals;
mod isolation;
mod mcp;
mod operations;
mod security;
