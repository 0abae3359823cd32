//! GGUF: one file for each case of llama.cpp's own test of its reader, and for the published attacks on it.

use tempfile::TempDir;

use crate::gguf_file::{GgufFile, Tensor, array, key, tensor, text};
use crate::limits::{accepted, refused, source};

fn write(file: &GgufFile) -> (TempDir, String) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("model.gguf");
    std::fs::write(&path, file.bytes()).unwrap();
    let source = source("gguf", &path);
    (folder, source)
}

#[track_caller]
fn spoilt(change: impl FnOnce(&mut GgufFile), words: &[&str]) {
    let mut file = GgufFile::sound();
    change(&mut file);
    let (_folder, source) = write(&file);
    let words: Vec<&str> = ["model.gguf: "].iter().chain(words).copied().collect();
    refused(&source, &words);
}

#[track_caller]
fn with_key(spoilt_key: Vec<u8>, words: &[&str]) {
    spoilt(|file| file.keys.push(spoilt_key), words);
}

/// The last tensor spoilt.
#[track_caller]
fn with_tensor(change: impl FnOnce(&mut Tensor), words: &[&str]) {
    spoilt(|file| change(file.tensors.last_mut().unwrap()), words);
}

#[test]
fn a_sound_file_is_planned() {
    let (_folder, source) = write(&GgufFile::sound());
    let plan = accepted(&["plan", "--model", &source, "--isl", "8", "--osl", "8"]);
    assert!(plan.contains("runs"), "{plan}");
}

#[test]
fn header_bad_magic() {
    spoilt(
        |file| file.magic = *b"FUGG",
        &["offset 0", "\"FUGG\" instead of \"GGUF\""],
    );
}

#[test]
fn header_version_0() {
    spoilt(
        |file| file.version = 0,
        &["offset 4", "version 0 is not supported"],
    );
}

#[test]
fn header_version_1() {
    spoilt(
        |file| file.version = 1,
        &["offset 4", "version 1 is not supported"],
    );
}

#[test]
fn header_version_future() {
    spoilt(
        |file| file.version = 4,
        &["offset 4", "version 4 is not supported"],
    );
    spoilt(
        |file| file.version = 3u32.swap_bytes(),
        &["offset 4", "big-endian"],
    );
}

#[test]
fn header_tensor_count() {
    spoilt(
        |file| file.tensor_count = Some(u64::MAX),
        &["offset 8", "number of tensors"],
    );
    spoilt(|file| file.tensor_count = Some(0), &["no tensors"]);
    spoilt(|file| file.tensor_count = Some(10_000), &[]);
}

#[test]
fn header_key_count() {
    spoilt(
        |file| file.key_count = Some(u64::MAX),
        &["offset 16", "number of keys"],
    );
    spoilt(|file| file.key_count = Some(0), &[]);
    spoilt(|file| file.key_count = Some(2_000), &[]);
}

#[test]
fn key_size() {
    let mut long = u64::MAX.to_le_bytes().to_vec();
    long.extend(b"key");
    with_key(long, &["offset", "longer than"]);
}

#[test]
fn key_empty() {
    with_key(key("", 4, &[0; 4]), &["offset", "empty key"]);
}

#[test]
fn key_bad_type() {
    with_key(
        key("k", 13, &[0; 8]),
        &["key k", "unknown type of value 13"],
    );
    with_key(
        key("k", 9, &array(77, 1, &[])),
        &["key k", "unknown type of value 77"],
    );
    with_key(key("k", 7, &[9]), &["key k", "9 is no truth value"]);
}

#[test]
fn key_duplicate() {
    with_key(
        key("general.architecture", 8, &text("qwen2")),
        &["key general.architecture", "stands twice"],
    );
}

#[test]
fn key_bad_alignment() {
    for wrong in [1u32, 13, 48, u32::MAX] {
        let value = wrong.to_le_bytes();
        with_key(
            key("general.alignment", 4, &value),
            &["key general.alignment", "not a power of two"],
        );
    }
}

#[test]
fn key_wrong_type_of_alignment() {
    with_key(
        key("general.alignment", 8, &text("32")),
        &["key general.alignment", "not an integer"],
    );
    with_key(
        key("general.alignment", 6, &32f32.to_le_bytes()),
        &["key general.alignment", "not an integer"],
    );
    with_key(
        key("general.alignment", 9, &array(4, 0, &[])),
        &["key general.alignment", "not an integer"],
    );
}

/// On this one candle's own reader divides by zero.
#[test]
fn key_alignment_0() {
    with_key(
        key("general.alignment", 4, &[0; 4]),
        &["key general.alignment", "0 is not a power of two"],
    );
}

#[test]
fn tensor_name_size() {
    with_tensor(
        |tensor| tensor.name = vec![b'n'; 65],
        &["offset", "65 bytes is longer than 64"],
    );
    with_tensor(
        |tensor| tensor.name.clear(),
        &["offset", "name of a tensor is empty"],
    );
    with_tensor(|tensor| tensor.name = vec![0xff], &["offset", "not UTF-8"]);
}

#[test]
fn tensor_number_of_dimensions() {
    with_tensor(
        |tensor| tensor.dims = vec![],
        &["tensor output_norm.weight", "0 dimensions"],
    );
    with_tensor(
        |tensor| tensor.dims = vec![1; 5],
        &["tensor output_norm.weight", "5 dimensions"],
    );
}

#[test]
fn tensor_shape() {
    with_tensor(
        |tensor| tensor.dims = vec![16],
        &["tensor output_norm.weight", "shape [16]", "call for [32]"],
    );
    with_tensor(
        |tensor| tensor.dims = vec![32, 1],
        &["tensor output_norm.weight", "shape [1, 32]"],
    );
}

#[test]
fn tensor_zero_dimension() {
    with_tensor(
        |tensor| tensor.dims = vec![32, 0],
        &["tensor output_norm.weight", "dimension 0"],
    );
}

#[test]
fn tensor_elements_too_many() {
    let many = |dims: &[u64], words: &[&str]| {
        let change = |tensor: &mut Tensor| {
            tensor.dims = dims.to_vec();
            tensor.offset = Some(0);
        };
        with_tensor(change, words);
    };
    many(&[1 << 63], &["dimension 9223372036854775808"]);
    // Their product is 2^66, which wraps around to 4.
    many(&[1 << 33, 1 << 33], &["more bytes than can be counted"]);
    many(
        &[1 << 32, 1 << 31, 2, 2],
        &["more bytes than can be counted"],
    );
}

#[test]
fn tensor_bytes_too_many() {
    let change = |dims: Vec<u64>| {
        move |tensor: &mut Tensor| {
            tensor.dims = dims;
            tensor.offset = Some(0);
        }
    };
    with_tensor(change(vec![1 << 62]), &["more bytes than can be counted"]);
    with_tensor(change(vec![1 << 60]), &["reach beyond the file"]);
}

#[test]
fn tensor_bad_type() {
    with_tensor(
        |tensor| tensor.kind = 4,
        &["tensor output_norm.weight", "unknown type 4"],
    );
    with_tensor(
        |tensor| tensor.kind = u32::MAX,
        &["unknown type 4294967295"],
    );
    with_tensor(|tensor| tensor.kind = 23, &["type IQ4_XS is not supported"]);
    with_tensor(|tensor| tensor.kind = 12, &["not whole blocks of 256"]);
}

#[test]
fn tensor_offset() {
    with_tensor(
        |tensor| tensor.offset = Some(1 << 40),
        &["output_norm.weight", "reach beyond the file"],
    );
    with_tensor(
        |tensor| tensor.offset = Some(u64::MAX - 31),
        &["reach beyond the file"],
    );
}

#[test]
fn tensor_duplicate() {
    with_tensor(
        |tensor| tensor.name = b"token_embd.weight".to_vec(),
        &["tensor token_embd.weight", "stands twice"],
    );
}

#[test]
fn tensor_alignment() {
    with_tensor(
        |tensor| tensor.offset = Some(33),
        &["tensor output_norm.weight", "offset 33 is not a multiple"],
    );
}

#[test]
fn tensors_inconsistent() {
    with_tensor(
        |tensor| tensor.offset = Some(0),
        &["tensor ", "overlaps tensor "],
    );
    with_tensor(
        |tensor| tensor.offset = Some(32),
        &["tensor ", "overlaps tensor "],
    );
    spoilt(
        |file| _ = file.tensors.pop(),
        &["tensor output_norm.weight", "missing"],
    );
    spoilt(
        |file| file.tensors.push(tensor("blk.0.attn_q.bias", &[32])),
        &["its effect would be lost"],
    );
}

#[test]
fn data_short() {
    spoilt(
        |file| file.data = Some(64),
        &["tensor ", "reach beyond the file"],
    );
    spoilt(
        |file| file.data = Some(0),
        &["tensor ", "reach beyond the file"],
    );
}

/// Sizes each of which is possible, but not their sum: the classic wrap of the total.
#[test]
fn memory_size_overflow() {
    let change = |file: &mut GgufFile| {
        file.data = Some(64);
        for tensor in &mut file.tensors {
            tensor.dims = vec![1 << 60];
            tensor.offset = Some(1 << 62);
        }
    };
    spoilt(change, &["tensor ", "reach beyond the file"]);
}

#[test]
fn a_million_keys() {
    let change = |file: &mut GgufFile| {
        file.keys = (0..1_000_000u32)
            .map(|number| key(&format!("k{number}"), 0, &[0]))
            .collect();
    };
    spoilt(change, &["offset 16", "number of keys 1000000 is above"]);
}

#[test]
fn arrays_65_deep() {
    let deep = array(9, 1, &[]).repeat(65);
    with_key(key("k", 9, &deep), &["key k", "arrays of arrays"]);
}

#[test]
fn arrays_and_texts_longer_than_the_file() {
    with_key(
        key("k", 9, &array(4, u64::MAX, &[])),
        &["key k", "array of 18446744073709551615 elements"],
    );
    with_key(
        key("k", 9, &array(10, 1 << 61, &[])),
        &["key k", "bytes are left"],
    );
    with_key(key("k", 9, &array(8, u64::MAX, &[])), &["key k"]);
    with_key(
        key("k", 8, &u64::MAX.to_le_bytes()),
        &["key k", "bytes are declared"],
    );
}

/// An array where a number is asked for, and the other way round.
#[test]
fn values_of_another_kind() {
    let replace = |value: Vec<u8>| move |file: &mut GgufFile| file.keys[1] = value;
    let name = "llama.block_count";
    spoilt(replace(key(name, 8, &text("1"))), &[name, "not an integer"]);
    spoilt(
        replace(key(name, 9, &array(8, 1, &text("1")))),
        &[name, "not an integer"],
    );
    spoilt(
        replace(key(name, 6, &f32::NAN.to_le_bytes())),
        &[name, "not an integer"],
    );
    spoilt(
        replace(key(name, 11, &(-1i64).to_le_bytes())),
        &[name, "not an integer"],
    );
    spoilt(
        replace(key(name, 9, &array(9, 0, &[]))),
        &[name, "arrays of arrays"],
    );
    spoilt(
        |file| file.keys[0] = key("general.architecture", 8, &text("mamba")),
        &["\"mamba\" is not supported", "llama, qwen2, qwen3"],
    );
    let vocabulary = array(8, 9, &text("x").repeat(9));
    with_key(
        key("tokenizer.ggml.tokens", 9, &vocabulary),
        &["9 tokens, but the embedding has 4 rows"],
    );
    with_key(
        key("llama.rope.scaling.type", 8, &text("yarn")),
        &["\"yarn\" is not supported", "none and linear"],
    );
}

/// Only the first part knows the architecture, and it may hold no tensors.
#[test]
fn any_part_of_a_split_file() {
    let parts = || key("split.count", 2, &3_u16.to_le_bytes());
    let words = [
        "key split.count",
        "one of 3 files; join them with llama-gguf-split --merge",
    ];
    with_key(parts(), &words);
    spoilt(
        |file| {
            file.keys = vec![parts()];
            file.tensors.clear();
        },
        &words,
    );
}

/// As many keys with as long values and as many tensors as the limits allow.
#[test]
fn the_largest_header() {
    let change = |file: &mut GgufFile| {
        let numbers = array(0, 1_024, &[7; 1_024]);
        file.keys
            .extend((0..2_000).map(|n| key(&format!("k{n}"), 9, &numbers)));
        let name = |n: u32| format!("{n:064}");
        file.tensors
            .extend((0..16_000).map(|n| tensor(&name(n), &[1, 1, 1, 1])));
    };
    spoilt(change, &["its effect would be lost"]);
}

#[test]
fn an_empty_file_and_a_folder() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("model.gguf");
    std::fs::write(&path, "").unwrap();
    refused(&source("gguf", &path), &["model.gguf"]);
    refused(&source("gguf", folder.path()), &["not a file"]);
    refused(
        &source("gguf", &folder.path().join("none.gguf")),
        &["none.gguf", "No such file"],
    );
}
