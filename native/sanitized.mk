# Builds with sanitizers, beside node-gyp's: the fuzz targets of native/fuzz and the engine with ASan and UBSan (clang++, for its
# libFuzzer), and the engine with ThreadSanitizer (any compiler). Only what changed is built anew.
#   make -C native -f sanitized.mk fuzz | engine-tsan | engine-asan
OUT := build/sanitized
WARNINGS := -Wall -Wextra
COMMON := -std=c++20 -g -O1 -fno-omit-frame-pointer -fno-sanitize-recover=all -D_GNU_SOURCE $(WARNINGS) -MMD -MP
LIBRARIES := -lcrypto -lpthread -ldl

ENGINE := $(filter-out engine/main.cc,$(wildcard engine/*.cc))
SHIM := cni-shim/messages.cc cni-shim/json.cc cni-shim/base64.cc
LANE_SOURCES := fuzz/fuzz_datagrams.cc fuzz/fuzz_frames.cc fuzz/fuzz_pieces.cc fuzz/fuzz_commands.cc
SOURCES := $(LANE_SOURCES) fuzz/fuzz_netlink.cc fuzz/fuzz_shim.cc

FUZZ_CXX := clang++
FUZZ_FLAGS := $(COMMON) -fsanitize=fuzzer-no-link,address,undefined
fuzz_objects = $(patsubst %.cc,$(OUT)/fuzz/%.o,$(1))
RIG := $(call fuzz_objects,$(ENGINE) fuzz/rig.cc fuzz/frame_maker.cc)

fuzz: $(SOURCES:fuzz/%.cc=$(OUT)/%)

$(LANE_SOURCES:fuzz/%.cc=$(OUT)/%): $(RIG)
$(OUT)/fuzz_shim: $(call fuzz_objects,$(SHIM))
$(OUT)/fuzz_%: $(OUT)/fuzz/fuzz/fuzz_%.o
	$(FUZZ_CXX) -fsanitize=fuzzer,address,undefined $^ $(LIBRARIES) -o $@

$(OUT)/fuzz/%.o: %.cc sanitized.mk
	@mkdir -p $(@D)
	$(FUZZ_CXX) $(FUZZ_FLAGS) -c $< -o $@

# From the same objects, hence clang++.
engine-asan: $(OUT)/fabric-engine-asan
$(OUT)/fabric-engine-asan: $(call fuzz_objects,$(ENGINE) engine/main.cc sanitizer_options.cc)
	$(FUZZ_CXX) -fsanitize=fuzzer-no-link,address,undefined $^ $(LIBRARIES) -o $@

engine-tsan: $(OUT)/fabric-engine-tsan
$(OUT)/fabric-engine-tsan: $(patsubst %.cc,$(OUT)/tsan/%.o,$(ENGINE) engine/main.cc sanitizer_options.cc)
	$(CXX) -fsanitize=thread $^ $(LIBRARIES) -o $@

$(OUT)/tsan/%.o: %.cc sanitized.mk
	@mkdir -p $(@D)
	$(CXX) $(COMMON) -fsanitize=thread -c $< -o $@

.PHONY: fuzz engine-tsan engine-asan
.SECONDARY:
-include $(shell find $(OUT) -name '*.d' 2>/dev/null)
