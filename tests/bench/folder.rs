//! Where a benchmark keeps its data and its logs.

use std::path::Path;

use anyhow::{Context, Result};

/// Measures with a folder that is there until that is done, whatever comes of it.
///
/// # Errors
/// It cannot be made or removed, or what is measured fails.
pub async fn with_folder<T>(measure: impl AsyncFnOnce(&Path) -> Result<T>) -> Result<T> {
    let folder = std::env::temp_dir().join(format!("errand-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let measured = Box::pin(measure(&folder)).await;
    std::fs::remove_dir_all(&folder).context("the data cannot be removed")?;
    measured
}
