//! Calls cut at limits and price thresholds: the spread of lengths is integrated, not the mean priced.

use super::conversation::{Call, Role};
use super::length::{Lengths, Stretch};
use super::scenario::{Conversation, OnLimit};
use super::traffic::Demand;

/// Calls of one kind whose input lies between two thresholds. Tokens are per user request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Piece {
    /// Calls per user request.
    pub calls: f64,
    /// Input after the limit.
    pub input: f64,
    /// Leading input that an earlier request had too.
    pub shared: f64,
    /// Leading input that a cache keeps.
    pub cacheable: f64,
    /// Output.
    pub output: f64,
    /// How many thresholds the input of each call exceeds.
    pub tier: usize,
    /// The call it is part of, for the shortest prefix that a cache takes.
    pub call: Call,
}

/// Cuts a call at the limit of the workload and at ascending price thresholds.
pub fn pieces(call: Call, demand: &Demand, thresholds: &[f64]) -> Vec<Piece> {
    let limit = if call.role == Role::Answer && demand.input_token_limit > 0.0 {
        demand.input_token_limit
    } else {
        f64::INFINITY
    };
    let cutter = Cutter {
        call,
        limit,
        on_limit: demand.on_limit,
        thresholds,
        summary_tokens: demand.conversation.as_ref().map_or_else(
            || Conversation::default().summary_tokens,
            |c| c.summary_tokens,
        ),
    };
    let lengths = Lengths::new(call.input, demand.input_tokens_cv);
    let mut pieces = Vec::new();
    for stretch in lengths.stretches(&cutter.cuts()) {
        cutter.cut(stretch, &mut pieces);
    }
    pieces
}

struct Cutter<'a> {
    call: Call,
    limit: f64,
    on_limit: OnLimit,
    thresholds: &'a [f64],
    summary_tokens: f64,
}

impl Cutter<'_> {
    /// Nothing is cut where nothing depends on the length.
    fn cuts(&self) -> Vec<f64> {
        let mut cuts = self.thresholds.to_vec();
        if self.limit.is_finite() {
            cuts.push(self.limit);
        }
        if !cuts.is_empty() {
            cuts.extend(
                [self.call.shared, self.call.cacheable]
                    .iter()
                    .filter(|t| **t > 0.0),
            );
            cuts.sort_by(f64::total_cmp);
        }
        cuts
    }

    fn cut(&self, stretch: Stretch, pieces: &mut Vec<Piece>) {
        let over = stretch.low >= self.limit;
        let piece = if over {
            self.piece(Stretch {
                low: self.limit,
                high: self.limit,
                mass: stretch.mass,
                moment: self.limit * stretch.mass,
            })
        } else {
            self.piece(stretch)
        };
        match (over, self.on_limit) {
            (true, OnLimit::Reject) => {}
            (true, OnLimit::Summarize) => {
                pieces.push(piece);
                pieces.push(self.summary(stretch));
            }
            (true, OnLimit::Truncate) | (false, _) => pieces.push(piece),
        }
    }

    fn piece(&self, stretch: Stretch) -> Piece {
        let weight = self.call.weight;
        let leading = |length: f64| {
            if stretch.high <= length {
                stretch.moment * weight
            } else {
                length * stretch.mass * weight
            }
        };
        Piece {
            calls: stretch.mass * weight,
            input: stretch.moment * weight,
            shared: leading(self.call.shared),
            cacheable: leading(self.call.cacheable),
            output: self.call.output * stretch.mass * weight,
            tier: self.tier(stretch),
            call: self.call,
        }
    }

    /// The call that reads what is too long and writes a summary.
    fn summary(&self, stretch: Stretch) -> Piece {
        let weight = self.call.weight;
        Piece {
            calls: stretch.mass * weight,
            input: stretch.moment * weight,
            shared: 0.0,
            cacheable: 0.0,
            output: self.summary_tokens * stretch.mass * weight,
            tier: self.tier(stretch),
            call: Call {
                role: Role::Summary,
                shared: 0.0,
                cacheable: 0.0,
                ..self.call
            },
        }
    }

    /// Thresholds below every length of the stretch; a length at a threshold does not exceed it.
    fn tier(&self, stretch: Stretch) -> usize {
        let exceeds = |threshold: &&f64| {
            if stretch.low < stretch.high {
                **threshold <= stretch.low
            } else {
                **threshold < stretch.low
            }
        };
        self.thresholds.iter().filter(exceeds).count()
    }
}
