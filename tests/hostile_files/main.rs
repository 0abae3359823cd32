//! Files that lie, through the command line: each is refused with exit code 4 in one line that names the
//! place, in less than a second, with less than 64 MiB of memory more than a sound model takes, and without a
//! panic.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests are tests, which clippy only sees inside test functions"
)]

mod folder;
mod gguf;
mod gguf_file;
mod limits;
mod prompts;
mod safetensors;
mod sound;
mod tokenizer;
mod vocabulary;
