#include "framework/train/sample.h"

#include <cstdlib>

#include "framework/core/finite.h"
#include "framework/core/number.h"
#include "framework/core/text.h"

namespace og {

namespace {

void refuse_bad_logits(const Tensor& logits, int64_t read) {
  const int64_t bad = first_not_finite(logits.dtype(), {logits.raw(), static_cast<size_t>(logits.bytes())});
  if (bad < 0) return;
  fail(Status::numbers,
       "after {} the logit of token {} is {}: the weights are out of range; take an earlier checkpoint",
       counted(read, "token"), bad, printable(logits.at(bad)));
}

int64_t sample_tokens() {
  const char* text = std::getenv("ONEGATHER_TEST_SAMPLE");
  return text ? std::atoll(text) : 240;
}

}  // namespace

int64_t generate_text(Decoder& decoder, const Tokenizer& tokenizer, const std::string& prompt, int64_t count,
                      const SamplingOptions& sampling, const std::function<void(const std::string&)>& show) {
  std::vector<int32_t> ids{tokenizer.end_of_document()};  // it opens every document
  tokenizer.encode(prompt, ids);
  Tensor logits = decoder.read(ids);
  StreamingDecoder text(tokenizer);
  int64_t drawn = 0;
  while (drawn < count) {
    refuse_bad_logits(logits, decoder.tokens_read());
    const int32_t id = sample_token(logits, sampling, decoder.tokens_read());
    ++drawn;
    if (id == tokenizer.end_of_document()) break;
    if (const std::string piece = text.push(id); !piece.empty()) show(piece);
    if (drawn < count) logits = decoder.read(std::span(&id, 1));
  }
  if (const std::string piece = text.finish(); !piece.empty()) show(piece);
  return drawn;
}

std::string sample_after_training(Session& session, const Tokenizer& tokenizer, const Loader& data) {
  constexpr int64_t kSamples = 2, kPromptTokens = 24;
  const int64_t tokens = sample_tokens();
  const CommPhase phase(session.world().counters(), "sampling");
  // The same ranks with the sequence axis folded into data: experts and tensor parts stay where they are.
  Degrees degrees = session.mesh().degrees();
  degrees.data *= degrees.sequence;
  degrees.sequence = 1;
  Mesh mesh(session.world(), degrees);
  mesh.sequence_norms = session.mesh().sequence_norms;
  mesh.virtual_stages = session.mesh().virtual_stages;
  std::string text;
  for (int64_t s = 0; s < kSamples; ++s) {
    const Batch row = data.rows(*session.context().pool, s, 1);
    // The row's first document, as far as the prompt goes: another one would be read as part of it.
    int64_t length = 0;
    while (length < std::min<int64_t>(kPromptTokens, row.tokens_BT.count()) && row.starts_BT.at(length) == 0) ++length;
    const std::string prompt = tokenizer.decode({row.tokens_BT.data<const int32_t>(), static_cast<size_t>(length)});
    Decoder decoder(session.context(), mesh, session.model());
    std::string continuation;
    generate_text(decoder, tokenizer, prompt, tokens,
                  {.temperature = 0.7, .top_p = 0.95, .seed = static_cast<uint64_t>(s) + 1},
                  [&](const std::string& piece) { continuation += piece; });
    text += fmt::format("--- sample {}: the prompt, then >>> and what the model wrote\n{}>>>{}\n\n", s + 1, prompt,
                        continuation);
  }
  return text;
}

}  // namespace og
