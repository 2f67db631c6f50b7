//! A door in front of the database: a TCP proxy that a test can close and open again.

use std::sync::Arc;

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// A proxy on a port of its own. Closed, it cuts every connection and refuses new ones at once.
pub(crate) struct Door {
    url: String,
    open: Arc<watch::Sender<bool>>,
}

impl Door {
    /// A door to the server of this database URL.
    pub(crate) async fn open_to(database_url: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let start = database_url
            .find("127.0.0.1:")
            .expect("the cluster's address");
        let end = start + database_url[start..].find('/').expect("a database");
        let server = database_url[start..end].to_owned();
        let url = format!(
            "{}127.0.0.1:{port}{}",
            &database_url[..start],
            &database_url[end..]
        );
        let open = Arc::new(watch::Sender::new(true));
        tokio::spawn(serve(listener, server, open.subscribe()));
        Self { url, open }
    }

    /// The database through the door.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) async fn close(&self) {
        self.open.send_replace(false);
    }

    pub(crate) async fn reopen(&self) {
        self.open.send_replace(true);
    }
}

async fn serve(listener: TcpListener, server: String, open: watch::Receiver<bool>) {
    while let Ok((mut client, _)) = listener.accept().await {
        let (server, mut open) = (server.clone(), open.clone());
        tokio::spawn(async move {
            if !*open.borrow() {
                return;
            }
            let Ok(mut upstream) = TcpStream::connect(server).await else {
                return;
            };
            tokio::select! {
                _ = copy_bidirectional(&mut client, &mut upstream) => {}
                _ = open.wait_for(|open| !open) => {}
            }
        });
    }
}
