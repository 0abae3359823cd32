//! The calls of the model behind one user request: a single call, or turn by turn through a
//! conversation with its history, its limits and what a prompt cache can reuse.

use super::scenario::{Conversation, HistoryPolicy, OnLimit};
use super::traffic::Demand;
use super::turns::survival;

/// What a call is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It answers the user.
    Answer,
    /// It shortens a history.
    Summary,
}

/// One kind of call. In a conversation there is one for each turn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Call {
    /// Calls of this kind per user request.
    pub weight: f64,
    /// Input tokens.
    pub input: f64,
    /// Leading tokens that an earlier request had too.
    pub shared: f64,
    /// Leading tokens that a cache keeps for later.
    pub cacheable: f64,
    /// Output tokens.
    pub output: f64,
    /// What it is for.
    pub role: Role,
}

/// Every call per user request, before semantic hits and retries.
pub fn calls(demand: &Demand) -> Vec<Call> {
    match &demand.conversation {
        None => vec![single(demand)],
        Some(talk) => {
            let survival = survival(talk.turns, talk.turns_sd);
            let turns: f64 = survival.iter().sum();
            let mut calls = turn_by_turn(demand, talk, &survival);
            for call in &mut calls {
                call.weight /= turns;
            }
            calls
        }
    }
}

fn single(demand: &Demand) -> Call {
    Call {
        weight: 1.0,
        input: demand.system_tokens
            + demand.history_tokens
            + demand.user_tokens
            + demand.tool_tokens
            + demand.chunk_tokens(),
        shared: demand.system_tokens,
        cacheable: demand.system_tokens,
        output: demand.output_tokens,
        role: Role::Answer,
    }
}

/// Where a conversation stands before a turn.
#[derive(Debug, Default)]
struct State {
    /// Tokens of all earlier questions and answers, or of their summary and what came after.
    history: f64,
    /// Input billed so far in this session.
    session: f64,
    /// Input of the turn before.
    previous: f64,
}

/// The turns of conversations; the weight of a turn is the probability that it is reached.
fn turn_by_turn(demand: &Demand, talk: &Conversation, survival: &[f64]) -> Vec<Call> {
    let exchange = talk.user_tokens + talk.answer_tokens;
    let fresh =
        demand.system_tokens + talk.user_tokens + demand.tool_tokens + demand.chunk_tokens();
    let mut state = State::default();
    let mut calls = Vec::with_capacity(survival.len());
    for (earlier, &weight) in survival.iter().enumerate() {
        let mut turn = Turn {
            demand,
            talk,
            weight,
            kept: true,
        };
        if talk.policy == HistoryPolicy::Window {
            let window = f64::from(talk.window_turns) * exchange;
            if earlier as f64 * exchange > window {
                state.history = window;
                turn.kept = false;
            }
        }
        if talk.policy == HistoryPolicy::Summarize && state.history > talk.summarize_above_tokens {
            calls.push(turn.compress(&mut state));
        }
        let Some(input) = turn.limited(fresh, &mut state, &mut calls) else {
            break;
        };
        calls.push(turn.answer(input, &state));
        state.previous = input;
        state.session += input;
        state.history += exchange;
    }
    calls
}

/// One turn while it is being worked out.
struct Turn<'a> {
    demand: &'a Demand,
    talk: &'a Conversation,
    weight: f64,
    /// Whether the input begins with the whole input of the turn before.
    kept: bool,
}

impl Turn<'_> {
    /// One call that reads the history and writes its summary.
    fn compress(&mut self, state: &mut State) -> Call {
        let call = Call {
            weight: self.weight,
            input: state.history,
            shared: 0.0,
            cacheable: 0.0,
            output: self.talk.summary_tokens,
            role: Role::Summary,
        };
        state.history = self.talk.summary_tokens;
        self.kept = false;
        call
    }

    /// The input of this turn after the limits; `None` when the conversation ends before it.
    fn limited(&mut self, fresh: f64, state: &mut State, calls: &mut Vec<Call>) -> Option<f64> {
        let (request, session) = (
            self.demand.input_token_limit,
            self.demand.session_token_limit,
        );
        let summarize = self.demand.on_limit == OnLimit::Summarize;
        let compressible = state.history > self.talk.summary_tokens;
        if summarize && compressible && request > 0.0 && fresh + state.history > request {
            calls.push(self.compress(state));
        }
        let input = fresh + state.history;
        if session <= 0.0 || state.session + input <= session {
            return Some(input);
        }
        match self.demand.on_limit {
            OnLimit::Reject => None,
            OnLimit::Truncate => {
                let left = session - state.session;
                self.kept = false;
                (left > 0.0).then_some(left)
            }
            OnLimit::Summarize => {
                if state.history > self.talk.summary_tokens {
                    calls.push(self.compress(state));
                }
                // A new session begins with the summary.
                state.session = 0.0;
                Some((fresh + state.history).min(session))
            }
        }
    }

    /// Chunks differ from query to query, so with retrieval only the system prompt is shared; and so
    /// it is when a window slides or a summary replaces the history.
    fn answer(&self, input: f64, state: &State) -> Call {
        let first = state.previous <= 0.0;
        let whole = self.kept && self.demand.chunk_tokens() <= 0.0;
        let prefix = self.demand.system_tokens.min(input);
        Call {
            weight: self.weight,
            input,
            shared: match (first, whole) {
                (true, _) => 0.0,
                (false, true) => state.previous.min(input),
                (false, false) => prefix,
            },
            cacheable: if whole { input } else { prefix },
            output: self.talk.answer_tokens,
            role: Role::Answer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cost::scenario::Document;
    use proptest::prelude::*;

    fn demand(keys: &str, talk: &str) -> Demand {
        let text = format!(
            "[traffic]\nrequests_per_month = 1\nsystem_tokens = 200\n{keys}\n[traffic.conversation]\n{talk}\n"
        );
        let document = Document::parse(&text).unwrap();
        Demand::new(&document.scenario.traffic, None)
    }

    /// Input over a whole conversation, answers only.
    fn input(demand: &Demand) -> f64 {
        let turns: f64 = demand.conversation.as_ref().unwrap().turns;
        let answers = calls(demand)
            .into_iter()
            .filter(|call| call.role == Role::Answer);
        answers.map(|call| call.weight * call.input).sum::<f64>() * turns
    }

    fn summaries(demand: &Demand) -> (f64, f64, f64) {
        let turns: f64 = demand.conversation.as_ref().unwrap().turns;
        calls(demand)
            .iter()
            .filter(|call| call.role == Role::Summary)
            .fold((0.0, 0.0, 0.0), |(n, read, written), call| {
                let weight = call.weight * turns;
                (
                    n + weight,
                    read + weight * call.input,
                    written + weight * call.output,
                )
            })
    }

    #[track_caller]
    fn close(got: f64, want: f64) {
        assert!(
            (got - want).abs() < 1e-6 * want.abs().max(1.0),
            "{got} for {want}"
        );
    }

    #[test]
    fn twenty_turns_cost_what_the_closed_forms_say() {
        close(input(&demand("", "")), 53_500.0);
        for (window, tokens) in [(1, 10_750.0), (4, 23_500.0), (8, 37_000.0)] {
            let talk = format!("policy = \"window\"\nwindow_turns = {window}");
            close(input(&demand("", &talk)), tokens);
        }
    }

    #[test]
    fn a_summary_is_one_more_call_on_the_whole_history() {
        let demand = demand("", "policy = \"summarize\"");
        close(input(&demand), 16_750.0);
        let (count, read, written) = summaries(&demand);
        close(count, 4.0);
        close(read, 4_850.0);
        close(written, 800.0);
    }

    #[test]
    fn random_turns_cost_by_their_second_moment() {
        close(input(&demand("", "turns_sd = 15")), 81_625.0);
    }

    #[test]
    fn a_session_limit_ends_the_conversation() {
        let limited = demand("session_token_limit = 32000\non_limit = \"reject\"", "");
        close(input(&limited), 30_750.0);
        close(
            calls(&limited).iter().map(|call| call.weight).sum::<f64>() * 20.0,
            15.0,
        );
        close(input(&demand("session_token_limit = 32000", "")), 32_000.0);
        let compacted = demand("session_token_limit = 32000\non_limit = \"summarize\"", "");
        close(
            calls(&compacted)
                .iter()
                .filter(|c| c.role == Role::Answer)
                .count() as f64,
            20.0,
        );
        close(summaries(&compacted).0, 1.0);
    }

    #[test]
    fn a_request_limit_compresses_the_history() {
        let limited = demand("input_token_limit = 2000\non_limit = \"summarize\"", "");
        assert!(
            calls(&limited)
                .iter()
                .filter(|c| c.role == Role::Answer)
                .all(|c| c.input <= 2_000.0)
        );
        assert!(summaries(&limited).0 >= 1.0);
    }

    #[test]
    fn chunks_break_the_prefix_after_the_system_prompt() {
        let mut demand = demand("", "");
        demand.retrieval = Some(crate::cost::scenario::Retrieval::default());
        let calls = calls(&demand);
        assert_eq!((calls[0].shared, calls[5].shared), (0.0, 200.0));
        close(calls[5].input, 200.0 + 100.0 + 5_000.0 + 5.0 * 250.0);
    }

    proptest! {
        #[test]
        fn a_window_as_long_as_the_conversation_is_the_full_history(
            turns in 1u32..40, more in 0u32..5, hit in 0.0..1.0f64
        ) {
            let keys = format!("cache = {{ prefix_hit_rate = {hit} }}");
            let full = demand(&keys, &format!("turns = {turns}"));
            let window = demand(&keys, &format!(
                "turns = {turns}\npolicy = \"window\"\nwindow_turns = {}", turns - 1 + more
            ));
            prop_assert_eq!(calls(&full), calls(&window));
        }

        #[test]
        fn a_longer_window_never_reads_less(turns in 2u32..40, window in 0u32..40) {
            let at = |window: u32| input(&demand("", &format!(
                "turns = {turns}\npolicy = \"window\"\nwindow_turns = {window}"
            )));
            prop_assert!(at(window) <= at(window + 1) * (1.0 + 1e-12));
        }
    }
}
