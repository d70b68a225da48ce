// The subject of `bench sequence --config`: an optimizer step on random tokens.
#pragma once

#include "framework/bench/sequence/subject.h"

namespace og {

// Collective over comm. The config's data.sequence_length, train.tokens_per_step, parallel.sequence and methods become
// those of the point: sequence takes the ranks that tensor and pipeline leave; data is 1; one rank alone: no degrees.
std::unique_ptr<SequenceSubject> make_step_subject(const SubjectOptions& options, const SequenceMethod* method,
                                                   Comm& comm, const Extent& extent);
// What the config's own checks say of that point.
std::optional<Problem> step_problem(const SubjectOptions& options, const SequenceMethod& method, int ranks,
                                    const Extent& extent);

}  // namespace og
