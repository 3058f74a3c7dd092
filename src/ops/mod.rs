//! The numeric operations of the model: the only room that asks which device it runs on.
