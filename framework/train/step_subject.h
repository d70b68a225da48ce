// The subject of `bench sequence --config`: an optimizer step on random tokens.
#pragma once

#include "framework/train/sequence_subject.h"

namespace og {

// Collective over comm. The config's data.sequence_length, train.tokens_per_step and parallel.sequence become length,
// rows x length and the ranks that its other degrees leave.
std::unique_ptr<SequenceSubject> make_step_subject(const SubjectOptions& options, Comm& comm, int64_t rows,
                                                   int64_t length);

}  // namespace og
