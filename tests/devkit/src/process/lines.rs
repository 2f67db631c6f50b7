//! What a program says, line by line, on its standard output and its standard error.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    process::Child,
    sync::mpsc,
    time::timeout,
};

/// The lines of one program; of none by default. Whoever says much is heard for as long as it runs: the lines are not bounded.
#[derive(Debug)]
pub(super) struct Lines {
    said: mpsc::UnboundedReceiver<String>,
    heard: Vec<String>,
}

impl Default for Lines {
    fn default() -> Self {
        let (_, said) = mpsc::unbounded_channel();
        let heard = Vec::new();
        Self { said, heard }
    }
}

impl Lines {
    /// Of a child whose outputs are pipes.
    pub(super) fn of(child: &mut Child, look: impl Fn(&str) + Clone + Send + 'static) -> Self {
        let (sender, said) = mpsc::unbounded_channel();
        if let Some(stderr) = child.stderr.take() {
            tokio::spawn(read(stderr, sender.clone(), look.clone()));
        }
        if let Some(stdout) = child.stdout.take() {
            tokio::spawn(read(stdout, sender, look));
        }
        let heard = Vec::new();
        Self { said, heard }
    }

    pub(super) fn heard(&self) -> &[String] {
        &self.heard
    }

    pub(super) async fn until(&mut self, text: &str, within: Duration) -> Result<String> {
        if let Some(line) = self.heard.iter().find(|line| line.contains(text)) {
            return Ok(line.clone());
        }
        let heard = timeout(within, async {
            while let Some(line) = self.said.recv().await {
                self.heard.push(line.clone());
                if line.contains(text) {
                    return Some(line);
                }
            }
            None
        });
        match heard.await {
            Ok(Some(line)) => Ok(line),
            ended => bail!("(ended: {}), but: {:#?}", ended.is_ok(), self.heard),
        }
    }

    pub(super) async fn rest(&mut self, within: Duration) -> Result<()> {
        while let Some(line) = timeout(within, self.said.recv())
            .await
            .context("its output does not end")?
        {
            self.heard.push(line);
        }
        Ok(())
    }
}

async fn read(
    output: impl AsyncRead + Unpin,
    lines: mpsc::UnboundedSender<String>,
    look: impl Fn(&str),
) {
    let mut output = BufReader::new(output).lines();
    while let Ok(Some(line)) = output.next_line().await {
        look(&line);
        // The program must find a reader also when nobody listens any more.
        let _ = lines.send(line);
    }
}
