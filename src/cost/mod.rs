//! What is concluded about money: from measured tokens to a decision.
