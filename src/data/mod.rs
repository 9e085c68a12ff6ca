//! Reading images: the IDX format, the embedded digits, binarisation.
