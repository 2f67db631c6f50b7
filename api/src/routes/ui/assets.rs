//! The page's files as they are sent: compressed once, under addresses that change with any of them.
//!
//! All of them are under `/ui/{version}/`, a hash of all files: within it a file never changes, so a browser never asks for it again,
//! and what files say of one another by relative paths holds as it is written.

use std::{
    collections::{BTreeSet, HashMap},
    io::Write,
    sync::{Arc, LazyLock, PoisonError, RwLock},
};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http::{HeaderMap, HeaderValue, header::ACCEPT_ENCODING};
use rust_embed::{EmbeddedFile, RustEmbed};
use sha2::{Digest, Sha256};

/// `api/ui/`; read from the disk in debug builds, so that a reload shows a change.
#[derive(RustEmbed)]
#[folder = "ui"]
struct Files;

/// Brotli's quality, of 11: little more is gained above, at several times the cost.
const BROTLI_QUALITY: i32 = 9;
/// Brotli's window, as a power of two: larger than any file here.
const BROTLI_WINDOW: i32 = 20;

/// A file, or what is made of one, in all its encodings.
#[derive(Debug)]
pub(super) struct Asset {
    kind: &'static str,
    hash: [u8; 32],
    plain: Bytes,
    /// None where it would not be smaller.
    brotli: Option<Bytes>,
    gzip: Option<Bytes>,
}

/// How a body is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Plain,
    Brotli,
    Gzip,
}

impl Encoding {
    /// Its name in `Content-Encoding`; none for the body as it is.
    pub(super) const fn name(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Brotli => Some("br"),
            Self::Gzip => Some("gzip"),
        }
    }
}

impl Asset {
    /// Of a text or an image. Images and fonts are compressed as they are.
    pub(super) fn new(kind: &'static str, body: Bytes) -> Self {
        let hash = Sha256::digest(&body).into();
        let is_text = kind.starts_with("text/") || kind.ends_with("+xml") || kind.ends_with("json");
        let smaller =
            |compressed: Vec<u8>| (compressed.len() < body.len()).then(|| Bytes::from(compressed));
        Self {
            kind,
            hash,
            brotli: is_text.then(|| smaller(brotli(&body))).flatten(),
            gzip: is_text.then(|| smaller(gzip(&body))).flatten(),
            plain: body,
        }
    }

    pub(super) fn kind(&self) -> HeaderValue {
        HeaderValue::from_static(self.kind)
    }

    /// The smallest body that the client takes (RFC 9110, 12.5.3).
    pub(super) fn body(&self, headers: &HeaderMap) -> (Encoding, Bytes) {
        let encodings = [
            (Encoding::Brotli, &self.brotli),
            (Encoding::Gzip, &self.gzip),
        ];
        for (encoding, body) in encodings {
            if let Some(body) = body
                && encoding.name().is_some_and(|name| takes(headers, name))
            {
                return (encoding, body.clone());
            }
        }
        (Encoding::Plain, self.plain.clone())
    }

    /// Another one for each encoding, as they are other bytes.
    pub(super) fn etag(&self, encoding: Encoding) -> HeaderValue {
        let tag = format!(
            "\"{}{}\"",
            hex(&self.hash[..12]),
            encoding.name().unwrap_or_default()
        );
        HeaderValue::from_str(&tag).unwrap_or_else(|_| HeaderValue::from_static("\"\""))
    }
}

/// Whether the client says that it takes this encoding, by its name.
fn takes(headers: &HeaderMap, name: &str) -> bool {
    let values = headers.get_all(ACCEPT_ENCODING).iter();
    let offered = values.filter_map(|value| value.to_str().ok());
    offered
        .flat_map(|value| value.split(','))
        .any(|offer| match offer.split_once(';') {
            None => offer.trim().eq_ignore_ascii_case(name),
            Some((encoding, weight)) => {
                let weight = weight.trim().strip_prefix("q=").map(str::parse::<f32>);
                encoding.trim().eq_ignore_ascii_case(name)
                    && weight.is_none_or(|weight| weight.is_ok_and(|weight| weight > 0.0))
            }
        })
}

/// The file at this path of `api/ui/`. Compressed when it is first asked for, and again only if it has changed.
pub(super) fn get(path: &str) -> Option<Arc<Asset>> {
    static KNOWN: LazyLock<RwLock<HashMap<String, Arc<Asset>>>> = LazyLock::new(RwLock::default);
    let file = Files::get(path)?;
    let hash = file.metadata.sha256_hash();
    let known = KNOWN.read().unwrap_or_else(PoisonError::into_inner);
    if let Some(asset) = known.get(path).filter(|known| known.hash == hash) {
        return Some(Arc::clone(asset));
    }
    drop(known);
    let asset = Arc::new(Asset::new(kind(path), bytes(file)));
    let mut known = KNOWN.write().unwrap_or_else(PoisonError::into_inner);
    known.insert(path.to_owned(), Arc::clone(&asset));
    Some(asset)
}

/// The text of a file; empty if there is none.
pub(super) fn text(path: &str) -> String {
    let file = Files::get(path).map(|file| file.data.into_owned());
    String::from_utf8(file.unwrap_or_default()).unwrap_or_default()
}

/// The name of these files together.
pub(super) fn version() -> String {
    let mut hash = Sha256::new();
    for path in Files::iter() {
        if let Some(file) = Files::get(&path) {
            hash.update(path.as_bytes());
            hash.update(file.metadata.sha256_hash());
        }
    }
    hex(&hash.finalize()[..8])
}

/// The modules that this one needs before it can run, and they need, itself included; not those that they fetch later (`import()`).
pub(super) fn modules(entry: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut open = vec![entry.to_owned()];
    while let Some(path) = open.pop() {
        if !found.insert(path.clone()) {
            continue;
        }
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let text = text(&path);
        let named = text.lines().filter_map(imported);
        open.extend(named.filter_map(|name| within(folder, name)));
    }
    found
}

/// What a line of a static import names. Such a line ends with it, in all of our files.
fn imported(line: &str) -> Option<&str> {
    let (before, name) = line.strip_suffix("\";")?.rsplit_once('"')?;
    let is_import = before.ends_with("from ") || before == "import ";
    (is_import && name.starts_with('.')).then_some(name)
}

/// A relative path, from within a folder.
fn within(folder: &str, name: &str) -> Option<String> {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in name.split('/') {
        match part {
            "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

fn bytes(file: EmbeddedFile) -> Bytes {
    match file.data {
        std::borrow::Cow::Borrowed(data) => Bytes::from_static(data),
        std::borrow::Cow::Owned(data) => Bytes::from(data),
    }
}

fn kind(path: &str) -> &'static str {
    match path.rsplit('.').next() {
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("html") => "text/html; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("woff2") => "font/woff2",
        Some("webmanifest") => "application/manifest+json",
        _ => "text/plain; charset=utf-8",
    }
}

fn brotli(body: &[u8]) -> Vec<u8> {
    let mut compressed = Vec::new();
    let parameters = brotli::enc::BrotliEncoderParams {
        quality: BROTLI_QUALITY,
        lgwin: BROTLI_WINDOW,
        size_hint: body.len(),
        ..Default::default()
    };
    // Writing into memory does not fail.
    let _ = brotli::BrotliCompress(&mut &body[..], &mut compressed, &parameters);
    compressed
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let written = encoder.write_all(body);
    written.and_then(|()| encoder.finish()).unwrap_or_default()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encoding_is_taken_if_it_is_offered_with_a_weight() {
        let takes = |offer: &'static str, name| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(offer));
            super::takes(&headers, name)
        };
        assert!(takes("gzip, deflate, br", "br"));
        assert!(takes("BR;q=0.5", "br"));
        assert!(!takes("br;q=0, gzip", "br"));
        assert!(!takes("brotli", "br"));
        assert!(!takes("", "gzip"));
    }

    #[test]
    fn all_modules_that_the_start_needs_are_found_and_there() {
        let modules = modules("app.js");
        assert!(modules.len() > 10, "{modules:?}");
        for path in &modules {
            assert!(Files::get(path).is_some(), "{path}");
        }
        assert_eq!(within("views", "../dom.js").as_deref(), Some("dom.js"));
        assert_eq!(within("", "../dom.js"), None);
    }

    #[test]
    fn what_is_compressed_is_smaller_and_the_same() {
        let asset = get("app.js").expect("a file");
        let (encoding, body) = asset.body(&{
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("br"));
            headers
        });
        assert_eq!(encoding, Encoding::Brotli);
        assert!(body.len() * 2 < asset.plain.len());
        let mut plain = Vec::new();
        brotli::BrotliDecompress(&mut &body[..], &mut plain).expect("brotli");
        assert_eq!(plain, asset.plain);
        assert_ne!(asset.etag(Encoding::Brotli), asset.etag(Encoding::Plain));
    }
}
