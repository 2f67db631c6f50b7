//! What a database's URL says, as the driver takes it.

use sqlx::postgres::PgConnectOptions;

/// How libpq calls the certificates that come with the machine.
const SYSTEM: &str = "sslrootcert=system";

/// Reads a URL. `sslrootcert=system` is taken away: the driver would look for a file of that name, and the well-known authorities, which are
/// meant, are trusted anyway.
///
/// # Errors
/// The URL is malformed.
pub(crate) fn options(url: &str) -> Result<PgConnectOptions, sqlx::Error> {
    let Some((server, query)) = url.split_once('?') else {
        return url.parse();
    };
    let query: Vec<&str> = query.split('&').filter(|&pair| pair != SYSTEM).collect();
    match query.is_empty() {
        true => server.parse(),
        false => format!("{server}?{}", query.join("&")).parse(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_certificates_of_the_machine_are_no_file() {
        let read = |url: &str| format!("{:?}", options(url).expect("a URL"));
        let (full, file) = ("?sslmode=verify-full", "sslrootcert=ca.pem");
        let url = "postgres://a:b@host/db";
        assert_eq!(
            read(&format!("{url}{full}&{SYSTEM}")),
            read(&format!("{url}{full}"))
        );
        assert_eq!(read(&format!("{url}?{SYSTEM}")), read(url));
        assert!(read(&format!("{url}{full}&{file}")).contains("ca.pem"));
    }
}
