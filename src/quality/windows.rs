//! A text in tokens, cut into windows.

use crate::engine::TokenId;
use crate::engine::worker::Tokenized;
use crate::record::scoring::Text;
use crate::study::quality::Quality;

/// A text that does not fill one window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the text has {tokens} tokens and a window takes {context}; give a longer text or a shorter context"
)]
pub struct TooShort {
    /// Tokens of the text.
    pub tokens: usize,
    /// Tokens of a window.
    pub context: u32,
}

/// A text by name, hash and length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Named<'a> {
    /// Its name.
    pub name: &'a str,
    /// SHA-256 of its bytes.
    pub sha256: &'a str,
    /// Its length in bytes.
    pub bytes: u64,
}

/// Cuts a text: its facts, and its tokens with the one that begins it where the tokenizer adds one.
///
/// Tokens behind the last whole window are left out.
pub fn cut(
    text: Named<'_>,
    tokenized: Tokenized,
    asked: &Quality,
) -> Result<(Text, Vec<TokenId>), TooShort> {
    let ids: Vec<TokenId> = tokenized.begin.into_iter().chain(tokenized.ids).collect();
    let spare = ids.len().checked_sub(asked.context as usize);
    let spare = spare.ok_or(TooShort {
        tokens: ids.len(),
        context: asked.context,
    })?;
    let windows = (spare / asked.stride as usize + 1) as u32;
    let text = Text {
        name: text.name.to_owned(),
        sha256: text.sha256.to_owned(),
        bytes: text.bytes,
        tokens: ids.len() as u64,
        begin: tokenized.begin,
        context: asked.context,
        stride: asked.stride,
        first: asked.first(),
        windows: asked.windows.map_or(windows, |most| windows.min(most)),
    };
    Ok((text, ids))
}

/// The tokens of one window, beginning as every text does.
pub(super) fn window(ids: &[TokenId], text: &Text, number: u32) -> Vec<TokenId> {
    let start = number as usize * text.stride as usize;
    let mut window = ids[start..start + text.context as usize].to_vec();
    if let (Some(begin), Some(first)) = (text.begin, window.first_mut()) {
        *first = begin;
    }
    window
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::model::ModelSource;
    use crate::study::quality::QualitySection;
    use crate::study::spec::Target;

    fn asked(context: u32, stride: u32) -> Quality {
        let section = QualitySection {
            context: Some(context),
            stride: Some(stride),
            ..Default::default()
        };
        section.resolved(Target::Cpu, &ModelSource::Tiny).unwrap()
    }

    fn named() -> Named<'static> {
        Named {
            name: "t",
            sha256: "",
            bytes: 10,
        }
    }

    fn text(count: u32, begin: Option<TokenId>) -> Tokenized {
        Tokenized {
            ids: (0..count).collect(),
            begin,
        }
    }

    #[test]
    fn every_window_begins_like_a_text_and_the_rest_is_left_out() {
        let (cut_text, ids) = cut(named(), text(12, Some(99)), &asked(4, 4)).unwrap();
        assert_eq!(
            (cut_text.tokens, cut_text.windows, cut_text.first),
            (13, 3, 2)
        );
        // The token that begins the text is part of it; later windows have it in place of their first.
        assert_eq!(window(&ids, &cut_text, 0), [99, 0, 1, 2]);
        assert_eq!(window(&ids, &cut_text, 1), [99, 4, 5, 6]);
        assert_eq!(cut_text.targets(), 1);
    }

    #[test]
    fn windows_overlap_with_a_short_stride() {
        let (cut_text, ids) = cut(named(), text(10, None), &asked(8, 2)).unwrap();
        assert_eq!(cut_text.windows, 2);
        assert_eq!(window(&ids, &cut_text, 1), [2, 3, 4, 5, 6, 7, 8, 9]);
    }

    #[test]
    fn a_short_text_is_refused_with_its_length() {
        let error = cut(named(), text(7, None), &asked(8, 8)).unwrap_err();
        assert_eq!((error.tokens, error.context), (7, 8));
        assert_eq!(
            cut(named(), text(8, None), &asked(8, 8)).unwrap().0.windows,
            1
        );
    }
}
