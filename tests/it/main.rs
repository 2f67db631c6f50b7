//! End-to-end tests: real Postgres, real sockets, the real protocols. Each test has a database and processes of its own.

mod world;

mod accidents;
mod agent;
mod approvals;
mod auth;
mod better_auth;
mod browser;
mod canaries;
mod cancels;
mod chat;
mod commits;
mod crashes;
mod fuzz;
mod injection;
mod isolation;
mod leases;
mod limits;
mod matrix;
mod mcp;
mod mcp_clients;
mod mcp_door;
mod mcp_stdio;
mod model_trouble;
mod operations;
mod outages;
mod pool;
mod pooler;
mod queue;
mod reads;
mod restarts;
mod silences;
mod sockets;
mod streams;
mod tools;
mod workers;
