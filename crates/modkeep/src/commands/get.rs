//! `get`: fetch, verify and keep what is named.

use super::fetching::{self, Wish};
use crate::cli::Get;
use crate::config::Effective;
use crate::exit::{Exit, Failed};
use crate::output::Output;

pub(super) fn run(get: &Get, effective: &Effective, output: &Output) -> Result<Exit, Failed> {
    let wishes = get.modules.iter().map(|text| Wish::parse(text)).collect::<Result<_, _>>()?;
    fetching::run(wishes, &get.fetching, effective, output)
}
