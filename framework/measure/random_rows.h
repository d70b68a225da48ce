// Rows of random tokens, for benchmarks and probes.
#pragma once

#include "framework/data/batch.h"

namespace og {

// `count` rows from row `first` of an endless corpus, one document a row, a function of the row's number alone.
Batch random_rows(Pool& pool, int64_t first, int64_t count, int64_t length, int64_t vocab_size);

}  // namespace og
