//! Text as token ids, and the prompts of one length that can be cut from it.

use serde::{Deserialize, Serialize};

use crate::engine::TokenId;

/// The texts that prompts are cut from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passages {
    /// Where a prompt may begin.
    pub(crate) cut: Cut,
    /// The texts.
    pub(crate) all: Vec<Passage>,
}

/// Where in a text a prompt may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Cut {
    /// At its first token: the text is a prompt.
    Front,
    /// At any token: the text is long.
    Anywhere,
}

/// One text and what stands around whatever is cut from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Passage {
    /// Before it: the beginning of the sequence, or of the chat template.
    pub(crate) head: Vec<TokenId>,
    /// The text.
    pub(crate) body: Vec<TokenId>,
    /// After it: the end of the chat template.
    pub(crate) tail: Vec<TokenId>,
}

/// A prompt of some length: its text and the first token of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Window {
    passage: usize,
    first: usize,
}

impl Passage {
    /// Tokens of text in a prompt of `length` tokens; `None` unless there is room for one.
    fn room(&self, length: usize) -> Option<usize> {
        let dress = self.head.len() + self.tail.len();
        length.checked_sub(dress).filter(|room| *room > 0)
    }

    /// Prompts of `length` tokens that can be cut from it.
    fn windows(&self, length: usize, cut: Cut) -> usize {
        let Some(spare) = self
            .room(length)
            .and_then(|room| self.body.len().checked_sub(room))
        else {
            return 0;
        };
        match cut {
            Cut::Front => 1,
            Cut::Anywhere => spare + 1,
        }
    }

    /// Tokens of the longest prompt that can be cut from it.
    fn longest(&self) -> usize {
        self.head.len() + self.body.len() + self.tail.len()
    }
}

impl Passages {
    /// Different prompts of `length` tokens that can be cut.
    pub(crate) fn count(&self, length: usize) -> usize {
        let counts = self.all.iter().map(|text| text.windows(length, self.cut));
        counts.sum()
    }

    /// Tokens in all, without what stands around the texts.
    pub(crate) fn tokens(&self) -> u64 {
        self.all.iter().map(|text| text.body.len() as u64).sum()
    }

    /// Why prompts of `length` tokens for `batch` rows, each another one, cannot be cut.
    pub(crate) fn misfit(&self, length: usize, batch: usize) -> Option<String> {
        let count = self.count(length);
        if count >= batch {
            return None;
        }
        let longest = self.all.iter().map(Passage::longest).max().unwrap_or(0);
        let dress = self.all.iter().map(|text| text.longest() - text.body.len());
        if let Some(dress) = dress.min().filter(|dress| *dress >= length) {
            return Some(format!(
                "what stands around a prompt takes {dress} tokens, so {length} leave no room for \
                 text; use a larger isl"
            ));
        }
        Some(match self.cut {
            Cut::Anywhere => format!(
                "{longest} tokens are too few for {batch} different prompts of {length}; use a \
                 longer text or a smaller isl"
            ),
            Cut::Front => format!(
                "{count} of {} prompts have {length} tokens or more, the longest has {longest}; a \
                 batch of {batch} needs {batch} of them: add longer prompts or use a smaller isl",
                self.all.len()
            ),
        })
    }

    /// The ids of the prompt with this number among those of `length` tokens.
    fn prompt(&self, length: usize, number: usize) -> Option<Vec<TokenId>> {
        let Window { passage, first } = self.window(length, number)?;
        let text = self.all.get(passage)?;
        let body = text.body.get(first..first + text.room(length)?)?;
        Some([&text.head, body, &text.tail].concat())
    }

    fn window(&self, length: usize, mut number: usize) -> Option<Window> {
        for (passage, text) in self.all.iter().enumerate() {
            let windows = text.windows(length, self.cut);
            if number < windows {
                let first = number;
                return Some(Window { passage, first });
            }
            number -= windows;
        }
        None
    }
}

/// All prompts of one length in an order in which each comes once before any comes again.
#[derive(Debug)]
pub(crate) struct Walk<'a> {
    passages: &'a Passages,
    length: usize,
    count: usize,
    at: usize,
    stride: usize,
}

impl<'a> Walk<'a> {
    /// A walk through the prompts of `length` tokens that begins and steps as two random numbers say;
    /// `None` when there are none.
    pub(crate) fn new(passages: &'a Passages, length: usize, random: [u64; 2]) -> Option<Self> {
        let count = passages.count(length);
        if count == 0 {
            return None;
        }
        let below = |number: u64| (number % count as u64) as usize;
        let [at, stride] = random.map(below);
        // Steps without a common divisor with the count lead to every prompt; one in `count` has none.
        let stride = (stride..stride + count).find(|stride| gcd(*stride, count) == 1)?;
        Some(Self {
            passages,
            length,
            count,
            at,
            stride,
        })
    }

    /// The ids of the next prompt.
    pub(crate) fn next(&mut self) -> Vec<TokenId> {
        let ids = self.passages.prompt(self.length, self.at);
        self.at = (self.at + self.stride) % self.count;
        ids.expect("numbers below the count are prompts")
    }
}

const fn gcd(mut a: usize, mut b: usize) -> usize {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn text(tokens: u32, head: &[u32], tail: &[u32]) -> Passage {
        Passage {
            head: head.to_vec(),
            body: (100..100 + tokens).collect(),
            tail: tail.to_vec(),
        }
    }

    fn of(cut: Cut, all: Vec<Passage>) -> Passages {
        Passages { cut, all }
    }

    #[test]
    fn a_window_has_its_length_whatever_stands_around_it() {
        let passages = of(Cut::Anywhere, vec![text(10, &[1, 2], &[3])]);
        assert_eq!(passages.count(5), 9);
        assert_eq!(passages.prompt(5, 0).unwrap(), [1, 2, 100, 101, 3]);
        assert_eq!(passages.prompt(5, 8).unwrap(), [1, 2, 108, 109, 3]);
        assert_eq!(passages.prompt(5, 9), None);
        assert_eq!(passages.count(13), 1);
        assert_eq!((passages.count(14), passages.count(3)), (0, 0));
    }

    #[test]
    fn a_prompt_of_a_file_begins_at_its_beginning() {
        let passages = of(
            Cut::Front,
            vec![text(4, &[1], &[]), text(2, &[1], &[]), text(9, &[1], &[])],
        );
        assert_eq!(passages.count(4), 2);
        assert_eq!(passages.prompt(4, 1).unwrap(), [1, 100, 101, 102]);
        assert_eq!(passages.count(3), 3);
    }

    #[test]
    fn a_walk_meets_every_prompt_once() {
        let passages = of(Cut::Anywhere, vec![text(40, &[], &[])]);
        for random in [[0, 0], [7, 6], [u64::MAX, 12], [3, u64::MAX - 1]] {
            let mut walk = Walk::new(&passages, 5, random).unwrap();
            let met: HashSet<Vec<u32>> = (0..36).map(|_| walk.next()).collect();
            assert_eq!(met.len(), 36, "{random:?}");
        }
        assert!(Walk::new(&passages, 41, [0, 0]).is_none());
    }

    #[test]
    fn what_does_not_fit_is_told_with_its_numbers() {
        let long = of(Cut::Anywhere, vec![text(10, &[1], &[])]);
        assert_eq!(long.misfit(8, 4), None);
        assert_eq!(
            long.misfit(8, 5).unwrap(),
            "11 tokens are too few for 5 different prompts of 8; use a longer text or a smaller isl"
        );
        let lines = of(Cut::Front, vec![text(3, &[], &[]), text(6, &[], &[])]);
        assert_eq!(
            lines.misfit(4, 2).unwrap(),
            "1 of 2 prompts have 4 tokens or more, the longest has 6; a batch of 2 needs 2 of them: \
             add longer prompts or use a smaller isl"
        );
        let chat = of(Cut::Front, vec![text(9, &[1, 2, 3], &[4])]);
        assert_eq!(
            chat.misfit(4, 1).unwrap(),
            "what stands around a prompt takes 4 tokens, so 4 leave no room for text; use a larger \
             isl"
        );
    }
}
