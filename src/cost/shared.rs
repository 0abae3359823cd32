//! What both sides pay alike: embeddings, reranking and the vector store.

use super::traffic::Demand;
use crate::units::TOKENS_PER_MTOK;

/// Bytes in the gigabyte in which stores are sold.
const BYTES_PER_GB: f64 = 1e9;

/// Embedding prices in USD per million tokens; absent where no model is named.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct SharedCase {
    /// Of the semantic cache.
    pub cache_embedding: Option<f64>,
    /// Of retrieval.
    pub retrieval_embedding: Option<f64>,
}

/// What both sides pay, in parts.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct SharedBill {
    /// Query embeddings and reranking per user request.
    pub usd_per_request: f64,
    /// Index and store per month.
    pub fixed_usd_per_month: f64,
}

impl SharedBill {
    /// Works out the shared costs of a workload.
    pub fn new(shared: &SharedCase, demand: &Demand) -> Self {
        let per_mtok = |price: Option<f64>, tokens: f64| {
            price.map_or(0.0, |price| price * tokens / TOKENS_PER_MTOK)
        };
        let mut bill = Self {
            usd_per_request: per_mtok(shared.cache_embedding, demand.query_tokens()),
            fixed_usd_per_month: 0.0,
        };
        if let Some(r) = &demand.retrieval {
            bill.usd_per_request +=
                per_mtok(shared.retrieval_embedding, r.query_tokens) + r.rerank_usd_per_request;
            bill.fixed_usd_per_month = index_usd(r, shared.retrieval_embedding) / r.reindex_months
                + vector_bytes(r) / BYTES_PER_GB * r.store_usd_per_gb_month;
        }
        bill
    }

    /// The shared part of a month's bill.
    pub fn month_usd(&self, requests: f64) -> f64 {
        requests * self.usd_per_request + self.fixed_usd_per_month
    }
}

/// Dollars to embed the whole index once.
pub fn index_usd(retrieval: &super::scenario::Retrieval, usd_per_mtok: Option<f64>) -> f64 {
    let tokens =
        retrieval.index_chunks * retrieval.index_tokens_per_chunk * (1.0 + retrieval.overlap);
    usd_per_mtok.map_or(0.0, |price| price * tokens / TOKENS_PER_MTOK)
}

/// Bytes of the vectors.
pub fn vector_bytes(retrieval: &super::scenario::Retrieval) -> f64 {
    retrieval.index_chunks * retrieval.vector_dimensions * retrieval.vector_bytes
}
