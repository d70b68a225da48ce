// Text from a trained model: the sample at the end of a run, and `onegather generate`.
#pragma once

#include <functional>
#include <string>

#include "framework/data/loader.h"
#include "framework/data/tokenizer.h"
#include "framework/train/session.h"
#include "models/decoder.h"

namespace og {

// Reads the end-of-document token, which opens a document, and the prompt, which may be empty; then draws `count`
// tokens (fewer if a document ends), giving each piece of text to `show` as soon as its characters are whole.
// Collective: every rank draws the same tokens; returns how many were drawn. Logits that are not finite:
// Error(Status::numbers).
int64_t generate_text(Decoder& decoder, const Tokenizer& tokenizer, const std::string& prompt, int64_t count,
                      const SamplingOptions& sampling, const std::function<void(const std::string&)>& show);

// A few continuations of beginnings of rows of `data`, as samples.txt shows them. Collective. For tests of short runs,
// which would spend most of their time here: ONEGATHER_TEST_SAMPLE=TOKENS in the environment of every rank shortens
// them.
std::string sample_after_training(Session& session, const Tokenizer& tokenizer, const Loader& data);

}  // namespace og
