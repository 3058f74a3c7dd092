//! What the customer wants: a linear head over sentence embeddings, with calibrated confidence.
