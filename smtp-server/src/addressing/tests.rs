//! What addresses mean.
