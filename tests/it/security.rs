//! What attackers try: tokens, secrets in logs, one account against all.

mod abuse;
mod auth;
mod better_auth;
mod canaries;
mod crowds;
mod tls;
