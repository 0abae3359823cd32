//! From a folder's files to ids, with a tokenizer whose ids can be read.

use super::*;
use crate::engine::tokenizer::TOKENIZER;

/// Words `w0` to `w29` have the ids 3 to 32, `<s>` is put before every text, `<u>` and `</u>` are special.
const ROWS: u32 = 40;

fn tokenizer() -> String {
    let special = ["<s>", "<u>", "</u>"].map(str::to_owned);
    let words = special.into_iter().chain((0..30).map(|n| format!("w{n}")));
    let words: Vec<String> = words
        .enumerate()
        .map(|(id, word)| format!("\"{word}\": {id}"))
        .collect();
    let added = [("<s>", 0), ("<u>", 1), ("</u>", 2)].map(|(text, id)| {
        format!(
            r#"{{"id": {id}, "content": "{text}", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}}"#
        )
    });
    format!(
        r#"{{"version": "1.0", "truncation": null, "padding": null, "added_tokens": [{}],
        "normalizer": null, "pre_tokenizer": {{"type": "Whitespace"}}, "decoder": null,
        "post_processor": {{"type": "TemplateProcessing",
            "single": [{{"SpecialToken": {{"id": "<s>", "type_id": 0}}}}, {{"Sequence": {{"id": "A", "type_id": 0}}}}],
            "pair": [{{"Sequence": {{"id": "A", "type_id": 0}}}}, {{"Sequence": {{"id": "B", "type_id": 1}}}}],
            "special_tokens": {{"<s>": {{"id": "<s>", "ids": [0], "tokens": ["<s>"]}}}}}},
        "model": {{"type": "WordLevel", "vocab": {{{}}}, "unk_token": "w0"}}}}"#,
        added.join(", "),
        words.join(", ")
    )
}

const TEMPLATE: &str = "{% for m in messages %}<u>{{ m.content }}</u>{% endfor %}w29";

struct Folder(tempfile::TempDir);

impl Folder {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(TOKENIZER), tokenizer()).unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        Self(folder)
    }

    fn order(&self, prompts: PromptChoice, length: u32) -> ReadOrder {
        ReadOrder {
            tokenizer: TokenizerOf::File {
                path: self.0.path().join(TOKENIZER),
                rows: ROWS,
            },
            prompts,
            lengths: vec![NonZeroU32::new(length).unwrap()],
            batch: 2,
        }
    }

    fn lines(&self, name: &str, dress: Dress, length: u32) -> TextSeen {
        let file = self.0.path().join(name);
        read(&self.order(PromptChoice::Lines { file, dress }, length)).unwrap()
    }

    fn text(&self, name: &str, dress: Dress, length: u32) -> TextSeen {
        let file = self.0.path().join(name);
        read(&self.order(PromptChoice::Text { file, dress }, length)).unwrap()
    }
}

#[track_caller]
fn passages(seen: TextSeen) -> Vec<Passage> {
    match seen {
        TextSeen::Prompts(texts) => texts.passages.all,
        other => panic!("no prompts: {other:?}"),
    }
}

#[track_caller]
fn unfit(seen: TextSeen, reason: &str) {
    let TextSeen::Unfit { place, reason: why } = seen else {
        panic!("it fits: {seen:?}")
    };
    assert!(why.contains(reason), "{place}: {why}");
    assert!(!place.is_empty() && !why.contains('\n'));
}

#[test]
fn without_a_text_the_tokenizer_alone_is_checked() {
    let folder = Folder::new(&[]);
    let order = folder.order(PromptChoice::RandomIds, 4);
    assert_eq!(read(&order).unwrap(), TextSeen::Checked);
    let small = ReadOrder {
        tokenizer: TokenizerOf::File {
            path: folder.0.path().join(TOKENIZER),
            rows: 32,
        },
        ..order
    };
    let message = read(&small).unwrap_err().to_string();
    assert!(
        message.contains("id 32, but the embedding has 32 rows"),
        "{message}"
    );
}

#[test]
fn a_plain_text_has_the_beginning_that_the_tokenizer_gives_it() {
    let folder = Folder::new(&[("book.txt", "w1 w2 w3 w4\nw5 w6")]);
    let all = passages(folder.text("book.txt", Dress::Plain, 4));
    assert_eq!(
        (all[0].head.as_slice(), all[0].tail.as_slice()),
        (&[0][..], &[][..])
    );
    assert_eq!(all[0].body, [4, 5, 6, 7, 8, 9]);
}

#[test]
fn a_chat_prompt_has_the_length_of_a_served_request() {
    let folder = Folder::new(&[
        ("book.txt", "w1 w2 w3 w4 w5 w6"),
        ("chat_template.jinja", TEMPLATE),
    ]);
    let seen = folder.text("book.txt", Dress::Chat, 6);
    let TextSeen::Prompts(texts) = seen else {
        panic!("the text fits")
    };
    assert_eq!(texts.passages.all[0].head, [1]);
    assert_eq!(texts.passages.all[0].tail, [2, 32]);
    let prompt = passages::Walk::new(&texts.passages, 6, [0, 0])
        .unwrap()
        .next();
    assert_eq!(prompt, [1, 4, 5, 6, 2, 32]);
    let PromptFacts::Text(facts) = texts.facts else {
        panic!("windows of a text")
    };
    assert_eq!((facts.texts, facts.tokens), (1, 6));
    assert_eq!(
        facts.template_sha256,
        Some(files::sha256_of(TEMPLATE.as_bytes()))
    );
    assert_eq!(facts.sha256, files::sha256_of(b"w1 w2 w3 w4 w5 w6"));
}

#[test]
fn prompts_of_a_file_are_cut_and_conversations_keep_what_was_said_before() {
    let folder = Folder::new(&[
        ("a.txt", "w1 w2 w3 w4 w5\nw6 w7 w8 w9\n"),
        (
            "b.jsonl",
            r#"{"messages": [{"role": "user", "content": "w1"}, {"role": "assistant", "content": "w2"}, {"role": "user", "content": "w3 w4 w5"}]}
{"prompt": "w6 w7 w8 w9 w10 w11 w12 w13 w14"}"#,
        ),
        (
            "chat_template.jinja",
            "{% for m in messages %}<u>{{ m.content }}</u>{% endfor %}w29",
        ),
    ]);
    let plain = passages(folder.lines("a.txt", Dress::Plain, 4));
    assert_eq!(plain.len(), 2);
    assert_eq!(plain[0].body, [4, 5, 6, 7]);
    let chat = passages(folder.lines("b.jsonl", Dress::Chat, 10));
    assert_eq!(chat[0].head, [1, 4, 2, 1, 5, 2, 1]);
    assert_eq!(chat[0].body, [6, 7, 8]);
    assert_eq!(chat[1].head, [1]);
}

#[test]
fn files_that_cannot_serve_are_told_with_the_remedy() {
    let folder = Folder::new(&[
        ("short.txt", "w1 w2"),
        ("empty.txt", " \n"),
        (
            "chat.jsonl",
            r#"{"messages": [{"role": "user", "content": "w1"}]}"#,
        ),
        ("broken.jsonl", "{"),
        ("chat_template.jinja", TEMPLATE),
    ]);
    unfit(
        folder.text("short.txt", Dress::Plain, 4),
        "3 tokens are too few for 2 different prompts of 4",
    );
    unfit(
        folder.text("empty.txt", Dress::Plain, 4),
        "1 tokens are too few",
    );
    unfit(
        folder.lines("short.txt", Dress::Plain, 4),
        "0 of 1 prompts have 4 tokens or more",
    );
    unfit(
        folder.lines("empty.txt", Dress::Plain, 4),
        "holds no prompt",
    );
    unfit(
        folder.lines("chat.jsonl", Dress::Plain, 1),
        "line 1: messages need the model's chat template; add --chat",
    );
    unfit(folder.lines("broken.jsonl", Dress::Plain, 1), "line 1: EOF");
    unfit(
        folder.text("short.txt", Dress::Chat, 3),
        "takes 3 tokens, so 3 leave no room",
    );
    unfit(folder.text("none.txt", Dress::Plain, 4), "No such file");
    std::fs::write(folder.0.path().join("latin.txt"), b"caf\xe9").unwrap();
    unfit(
        folder.text("latin.txt", Dress::Plain, 4),
        "not UTF-8: incomplete utf-8 byte sequence from index 3",
    );
    unfit(folder.text(".", Dress::Plain, 4), "not a file");
}

/// An order for prompts of a text for a model that carries its own tokenizer.
fn carried(tokenizer: TokenizerOf, file: &std::path::Path, dress: Dress) -> ReadOrder {
    ReadOrder {
        tokenizer,
        prompts: PromptChoice::Text {
            file: file.to_owned(),
            dress,
        },
        lengths: vec![NonZeroU32::new(8).unwrap()],
        batch: 1,
    }
}

#[test]
fn the_tokenizer_and_the_template_of_a_gguf_file_serve_as_any_other() {
    let folder = Folder::new(&[("book.txt", "In the beginning God created the heaven")]);
    let book = folder.0.path().join("book.txt");
    let fixture = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/fixtures/gguf/words-llama-bpe.gguf"
    );
    let gguf = |dress| {
        let path = fixture.into();
        read(&carried(TokenizerOf::Gguf { path }, &book, dress)).unwrap()
    };
    let plain = passages(gguf(Dress::Plain));
    let chat = passages(gguf(Dress::Chat));
    assert_eq!((plain[0].head.len(), plain[0].tail.len()), (1, 0));
    // The template writes the same beginning, and an end.
    assert_eq!((&chat[0].head, chat[0].tail.len()), (&plain[0].head, 1));
    assert_eq!(chat[0].body, plain[0].body);
    let TextSeen::Prompts(texts) = gguf(Dress::Chat) else {
        panic!("the text fits")
    };
    let PromptFacts::Text(facts) = texts.facts else {
        panic!("windows of a text")
    };
    assert_eq!(facts.tokenizer_sha256.len(), 64);
    assert!(facts.template_sha256.is_some());
}

#[test]
fn the_small_model_reads_texts_too() {
    let folder = Folder::new(&[(
        "book.txt",
        "In the beginning God created the heaven and the earth",
    )]);
    let book = folder.0.path().join("book.txt");
    let seen = read(&carried(TokenizerOf::Tiny, &book, Dress::Plain)).unwrap();
    assert!(passages(seen)[0].body.len() > 8);
    let error = read(&carried(TokenizerOf::Tiny, &book, Dress::Chat)).unwrap_err();
    assert!(
        error.to_string().contains("has no chat template"),
        "{error}"
    );
}
