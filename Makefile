# Builds Ocelli. `make help` lists targets and variables; docs/building.md says more.

VERSION := 0.1.0
SOVERSION := 0

BUILD ?= build## where everything is built
CFLAGS ?= -O2 -g## C compiler flags; CC, CPPFLAGS and LDFLAGS count too
SANITIZE ?=## 1: AddressSanitizer and UndefinedBehaviorSanitizer
WERROR ?= $(CI)## 1: warnings are errors (so with CI=1)
V ?=## 1: show every command
PREFIX ?= /usr/local## where `make install` puts things, inside DESTDIR
LIBDIR ?= $(PREFIX)/lib## where `make install` puts libraries
DATA ?=## folder with the data set for `make run`; else ./data, fetched if need be
ARGS ?=## more arguments for `ocelli train mnist` in `make run`
TESTS ?=## the test programs to run, e.g. "test_base test_conv2d"; else all
PYTHON_PEERS ?=## a Python with TensorFlow, PyTorch, onnxruntime and onnx for `make bench-peers`; else one is set up
QUICK ?=## 1: `make bench-peers` takes three minutes instead of fifteen
ONLY ?=## sections of `make bench-peers`, e.g. "train infer"; else all
FUZZ_SECONDS ?= 60## how long `make fuzz` runs each fuzzer

Q := $(if $(filter-out 0,$(V)),,@)
on = $(filter-out 0 no false,$(1))

# --- Flags -------------------------------------------------------------------------------------

WARNINGS := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes
ifneq ($(call on,$(WERROR)),)
WARNINGS += -Werror
endif
ifneq ($(call on,$(SANITIZE)),)
INSTRUMENT := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
endif
ifneq ($(FUZZ),)
INSTRUMENT := -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
endif

# No contraction to fused multiply-adds: host results have the same bits on every machine.
COMPILE = $(CC) -std=c11 $(WARNINGS) -ffp-contract=off -fPIC -fvisibility=hidden \
    $(DEFINES) $(CPPFLAGS) $(CFLAGS) $(INSTRUMENT)
LINK = $(CC) $(CFLAGS) $(INSTRUMENT)

PROTO_SRC := $(wildcard src/*/*.proto)

ifeq ($(shell uname -s),Darwin)
OPENCL := -framework OpenCL
SHARED := -dynamiclib -Wl,-install_name,@rpath/libocelli.$(SOVERSION).dylib
SO := libocelli.dylib
SO_MAJOR := libocelli.$(SOVERSION).dylib
SO_FULL := libocelli.$(VERSION).dylib
else
OPENCL := -lOpenCL
SHARED := -shared -Wl,-soname,libocelli.so.$(SOVERSION) $(if $(INSTRUMENT),,-Wl,-z,defs)
SO := libocelli.so
SO_MAJOR := libocelli.so.$(SOVERSION)
SO_FULL := libocelli.so.$(VERSION)
endif
LIB_LIBS := $(OPENCL) -lclblast $(if $(PROTO_SRC),-lprotobuf-c -lsnappy) -ljansson -lz -lm -lpthread
CLI_LIBS :=
TEST_LIBS := -lcriterion

# --- Files -------------------------------------------------------------------------------------

# One folder of objects for each compiler and set of flags.
quote = '$(subst ','\'',$(1))'
FLAGS_ID := $(shell printf '%s' $(call quote,$(COMPILE) $(LDFLAGS)) | cksum | cut -d' ' -f1)
OBJ := $(BUILD)/obj/$(FLAGS_ID)
GEN := $(OBJ)/gen

LIB_SRC := $(sort $(filter-out src/cli/%,$(wildcard src/*/*.c)))
CLI_SRC := $(sort $(wildcard src/cli/*.c))
TEST_SRC := $(sort $(wildcard tests/test_*.c))
SUPPORT_SRC := $(sort $(wildcard tests/support/*.c))
EXAMPLE_SRC := $(sort $(wildcard examples/*.c))
FUZZ_SRC := $(sort $(wildcard tests/fuzz/*.c))
TENSORFLOW_SRC := $(sort $(wildcard tests/tensorflow/*.c))
BENCH_SRC := $(sort $(wildcard bench/*.c))
KERNELS := $(sort $(wildcard cl/*.cl cl/*.h))
TUNING := $(sort $(wildcard tuning/*.json))
HEADERS := $(sort $(wildcard include/ocelli/*.h))

PROTO_C := $(PROTO_SRC:src/%.proto=$(GEN)/%.pb-c.c)
PROTO_H := $(PROTO_C:.c=.h)
GEN_OBJ := $(GEN)/embedded.o $(PROTO_C:.c=.o)
LIB_OBJ := $(LIB_SRC:%.c=$(OBJ)/%.o) $(GEN_OBJ)
CLI_OBJ := $(CLI_SRC:%.c=$(OBJ)/%.o)
SUPPORT_OBJ := $(SUPPORT_SRC:%.c=$(OBJ)/%.o)
ALL_OBJ := $(LIB_OBJ) $(CLI_OBJ) $(SUPPORT_OBJ) \
    $(patsubst %.c,$(OBJ)/%.o,$(TEST_SRC) $(EXAMPLE_SRC) $(FUZZ_SRC) $(TENSORFLOW_SRC) $(BENCH_SRC))

COMMAND := $(BUILD)/ocelli
STATIC := $(BUILD)/libocelli.a
DYNAMIC := $(BUILD)/$(SO)
FAULT := $(BUILD)/tests/fault.so
TEST_PROGRAMS := $(TEST_SRC:tests/%.c=$(BUILD)/tests/%)
EXAMPLES := $(EXAMPLE_SRC:examples/%.c=$(BUILD)/examples/%)
FUZZERS := $(FUZZ_SRC:tests/fuzz/%.c=$(BUILD)/fuzzers/%)
TENSORFLOW_TOOLS := $(TENSORFLOW_SRC:tests/tensorflow/%.c=$(BUILD)/tensorflow/%)
TENSORFLOW_VENV := $(BUILD)/tensorflow-venv
BENCH_TOOLS := $(BENCH_SRC:bench/%.c=$(BUILD)/bench/%)
PEERS_VENV := $(BUILD)/peers-venv

# --- Building ----------------------------------------------------------------------------------

.PHONY: all
all: $(STATIC) $(DYNAMIC) $(COMMAND) $(EXAMPLES) ## build the library, the command and the examples; installs nothing

.PHONY: tests
tests: all $(TEST_PROGRAMS) $(FAULT) ## build the test programs too

# Stops early, with one message, where something is missing.
export CC CXX CPPFLAGS CFLAGS LDFLAGS
READY := $(OBJ)/ready
$(READY): tools/setup
	@tools/setup --check
	@mkdir -p $(@D)
	@touch $@

# What the outputs consist of: they are linked anew when a source comes or goes or the flags change.
CONTENTS := $(BUILD)/contents
$(CONTENTS): force
	@mkdir -p $(BUILD)
	@printf '%s\n' $(call quote,$(FLAGS_ID) $(LIB_OBJ) $(CLI_OBJ) $(SUPPORT_OBJ) $(KERNELS) $(TUNING)) >$@.$$$$; \
	if cmp -s $@.$$$$ $@; then rm $@.$$$$; else mv $@.$$$$ $@; fi
.PHONY: force
force:

INCLUDES := -Iinclude -Isrc -I$(GEN)
$(OBJ)/examples/%.o $(OBJ)/bench/%.o: INCLUDES := -Iinclude
$(OBJ)/tests/%.o: INCLUDES += -Itests
$(OBJ)/src/cli/%.o: DEFINES := -DOCELLI_VERSION='"$(VERSION)"'
$(PROTO_C:.c=.o): WARNINGS := -w
$(GEN)/embedded.o: WARNINGS += -Wno-overlength-strings
# The arithmetic of stb's readers and writers relies on two's complement.
$(OBJ)/src/data/image_stb.o $(OBJ)/tests/support/picture.o: \
    INSTRUMENT += -fno-sanitize=shift,signed-integer-overflow

define compile
@mkdir -p $(@D)
$(if $(Q),@printf '  CC    %s\n' $<)
$(Q)$(COMPILE) $(INCLUDES) -MMD -MP -c -o $@ $<
endef

$(OBJ)/%.o: %.c | $(READY) $(PROTO_H)
	$(compile)

$(GEN)/%.o: $(GEN)/%.c | $(READY) $(PROTO_H)
	$(compile)

$(GEN)/%.pb-c.c $(GEN)/%.pb-c.h: src/%.proto | $(READY)
	@mkdir -p $(@D)
	$(Q)protoc-c --proto_path=src --c_out=$(GEN) $<

$(GEN)/embed: tools/embed.c | $(READY)
	@mkdir -p $(@D)
	$(Q)$(COMPILE) -o $@ $< $(LDFLAGS)

$(GEN)/embedded.c: $(GEN)/embed $(KERNELS) $(TUNING) $(CONTENTS)
	$(Q)$(GEN)/embed $@ $(KERNELS) $(TUNING)

define link
@mkdir -p $(@D)
$(if $(Q),@printf '  LINK  %s\n' $@)
$(Q)$(LINK) -o $@
endef

$(STATIC): $(LIB_OBJ) $(CONTENTS)
	$(if $(Q),@printf '  AR    %s\n' $@)
	$(Q)rm -f $@ && $(AR) rcs $@ $(LIB_OBJ)

$(DYNAMIC): $(LIB_OBJ) $(CONTENTS)
	$(link) $(SHARED) $(LIB_OBJ) $(LDFLAGS) $(LIB_LIBS)
	@ln -sf $(SO) $(BUILD)/$(SO_MAJOR)

$(BUILD)/ocelli: $(CLI_OBJ) $(STATIC)
	$(link) $(CLI_OBJ) $(STATIC) $(LDFLAGS) $(CLI_LIBS) $(LIB_LIBS)

# Tests reach internal functions, so they use the archive; examples use the library as users do.
$(BUILD)/tests/%: $(OBJ)/tests/%.o $(SUPPORT_OBJ) $(STATIC)
	$(link) $< $(SUPPORT_OBJ) $(STATIC) $(LDFLAGS) $(TEST_LIBS) $(LIB_LIBS)

# Makes a program's file operations fail, by LD_PRELOAD; never instrumented, as the program may not be.
$(FAULT): tests/support/fault.c tests/support/fault.h | $(READY)
	@mkdir -p $(@D)
	$(Q)$(CC) -std=c11 $(WARNINGS) -fPIC -shared -O1 -o $@ $< -ldl

$(BUILD)/examples/%: $(OBJ)/examples/%.o $(DYNAMIC)
	$(link) $< $(LDFLAGS) -L$(BUILD) -Wl,-rpath,'$$ORIGIN/..' -locelli -lm

$(BUILD)/tensorflow/%: $(OBJ)/tests/tensorflow/%.o $(STATIC)
	$(link) $< $(STATIC) $(LDFLAGS) $(LIB_LIBS)

$(BUILD)/bench/%: $(OBJ)/bench/%.o $(STATIC)
	$(link) $< $(STATIC) $(LDFLAGS) $(LIB_LIBS)

$(BUILD)/fuzzers/%: $(OBJ)/tests/fuzz/%.o $(STATIC)
	$(link) -fsanitize=fuzzer $< $(STATIC) $(LDFLAGS) $(LIB_LIBS)

.SECONDARY:
-include $(ALL_OBJ:.o=.d)

# --- Running and testing -----------------------------------------------------------------------

# Builds on all processors unless -j says otherwise.
CORES := $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
BUILD_ALL = $(MAKE) --no-print-directory $(if $(filter -j% --jobserver%,$(MAKEFLAGS)),,-j$(CORES))

.PHONY: run
run: ## install what is missing, build, get the data and train the MNIST classifier
	@tools/setup
	@$(BUILD_ALL) all
	@data=$(call quote,$(DATA)); \
	if [ -z "$$data" ]; then \
	    data=data; tools/fetch-data mnist data || data=synthetic; \
	fi; \
	set -x; exec $(BUILD)/ocelli train mnist --data "$$data" $(ARGS)

.PHONY: test
test: ## install what is missing, build, run every test and every example
	@tools/setup --test
	@$(BUILD_ALL) check

SELECTED := $(if $(TESTS),$(TESTS:%=$(BUILD)/tests/%),$(TEST_PROGRAMS))

.PHONY: check
check: all $(SELECTED) $(FAULT) ## the same without installing anything
	@SANITIZE=$(call on,$(SANITIZE)) tools/run-tests $(BUILD) \
	    $(SELECTED) $(if $(TESTS),,$(EXAMPLES) tools/check-sources tools/check-gpu-builds)

# The tests of operations: those with a source file in src/ops.
OPERATIONS := $(patsubst src/ops/%.c,test_%%,$(wildcard src/ops/*.c))
OCLGRIND_TESTS := $(or $(TESTS),$(filter $(OPERATIONS),$(TEST_SRC:tests/%.c=%)))

.PHONY: test-oclgrind
test-oclgrind: ## run the tests of operations under Oclgrind, on small sizes
	@tools/setup --test --oclgrind
	@$(BUILD_ALL) all $(OCLGRIND_TESTS:%=$(BUILD)/tests/%)
	@OCLGRIND=1 tools/run-tests $(BUILD) $(OCLGRIND_TESTS:%=$(BUILD)/tests/%)

# What runs kernels, or what must be right for them to run.
DRIVER_TESTS := $(or $(TESTS),$(OCLGRIND_TESTS) test_buffer test_launch test_program test_tensor test_model \
    test_model_panels test_train test_golden test_golden_families)

.PHONY: test-drivers
test-drivers: ## the same and training on PoCL, rusticl, Intel's runtime and Oclgrind; writes docs/results/drivers.md
	@tools/setup --test --oclgrind
	@tools/setup --drivers || echo 'test-drivers: goes on with the drivers that are there'
	@$(BUILD_ALL) all $(DRIVER_TESTS:%=$(BUILD)/tests/%)
	@$(if $(TESTS),REPORT=$(BUILD)/drivers/report.md) tools/test-drivers $(BUILD) $(DRIVER_TESTS:%=$(BUILD)/tests/%)

# NVIDIA's assembler comes from PyPI into a folder of its own; without a network it is done without.
GPU_VENV := $(BUILD)/gpu-venv
.PHONY: gpu-report
gpu-report: ## compile every GPU kernel offline for AMD, NVIDIA and Intel GPUs, and write docs/results/gpu-report.md
	@tools/setup --gpu || echo 'gpu-report: goes on with the compilers that are here'
	@[ -e $(GPU_VENV)/ready ] || { python3 -m venv $(GPU_VENV) && \
	    $(GPU_VENV)/bin/pip install --quiet --disable-pip-version-check \
	        nvidia-cuda-nvcc nvidia-cuda-nvdisasm && touch $(GPU_VENV)/ready; } || \
	    echo "gpu-report: NVIDIA's tools could not be had from PyPI"
	@tools/gpu-report --build $(BUILD) -o docs/results/gpu-report.md

.PHONY: test-caps
test-caps: ## run the tests of operations and models on devices with smaller limits (CAPS: which)
	@tools/setup --test
	@$(BUILD_ALL) tests
	@tools/test-caps $(BUILD) $(TESTS)

.PHONY: fuzz
fuzz: ## run every fuzzer of tests/fuzz for FUZZ_SECONDS (needs clang)
	@$(BUILD_ALL) BUILD=$(BUILD)/fuzz CC=clang FUZZ=1 fuzzers
	@for name in $(basename $(notdir $(FUZZ_SRC))); do \
	    seeds=tests/fuzz/seeds/$$name; [ -d $$seeds ] || seeds=; \
	    mkdir -p $(BUILD)/fuzz/corpus/$$name; \
	    printf '%s: %s s\n' $$name $(FUZZ_SECONDS); \
	    $(BUILD)/fuzz/fuzzers/$$name -max_total_time=$(FUZZ_SECONDS) -print_final_stats=1 \
	        -artifact_prefix=$(BUILD)/fuzz/$$name- \
	        $(BUILD)/fuzz/corpus/$$name $$seeds || exit 1; \
	done

.PHONY: fuzzers
fuzzers: $(FUZZERS)

# TensorFlow is large, and no other target needs it: it comes from PyPI into a folder of its own.
$(TENSORFLOW_VENV)/ready:
	$(if $(Q),@printf '  VENV  %s\n' $(@D))
	$(Q)rm -rf $(@D)
	$(Q)python3 -m venv $(@D)
	$(Q)pip='$(@D)/bin/pip install --quiet --disable-pip-version-check'; \
	    $$pip tensorflow-cpu safetensors || $$pip tensorflow safetensors
	@touch $@

.PHONY: test-tensorflow
test-tensorflow: $(COMMAND) $(TENSORFLOW_TOOLS) $(TENSORFLOW_VENV)/ready ## exchange saved models with TensorFlow from PyPI, both ways
	@$(TENSORFLOW_VENV)/bin/python -B tests/tensorflow/test_checkpoints.py $(BUILD)

$(PEERS_VENV)/ready:
	$(if $(Q),@printf '  VENV  %s\n' $(@D))
	$(Q)rm -rf $(@D)
	$(Q)python3 -m venv $(@D)
	$(Q)pip='$(@D)/bin/pip install --quiet --disable-pip-version-check'; \
	    { $$pip tensorflow-cpu || $$pip tensorflow; } && \
	    $$pip torch onnxruntime onnx threadpoolctl
	@touch $@

# All of it is docs/results/peers.md; a quick or partial run only prints, and writes build/peers.md.
PEERS_COMMAND := make bench-peers$(if $(call on,$(QUICK)), QUICK=1)$(if $(ONLY), ONLY="$(ONLY)")
.PHONY: bench-peers
bench-peers: $(COMMAND) $(BENCH_TOOLS) $(if $(PYTHON_PEERS),,$(PEERS_VENV)/ready) ## compare with TensorFlow, PyTorch, onnxruntime and OpenBLAS from PyPI
	@$(or $(PYTHON_PEERS),$(PEERS_VENV)/bin/python) -B bench/peers.py --build $(BUILD) \
	    --only '$(ONLY)' --command '$(PEERS_COMMAND)' $(if $(call on,$(QUICK)),--quick) \
	    --out $(if $(call on,$(QUICK))$(ONLY),$(BUILD)/peers.md,docs/results/peers.md) $(ARGS)

.PHONY: lint
lint: $(PROTO_H) ## check format, clang-tidy and cppcheck; installs nothing
	@tools/lint $(GEN)

# --- Installing --------------------------------------------------------------------------------

.PHONY: install
install: all ## install command, libraries, headers and pkg-config file (PREFIX, LIBDIR, DESTDIR)
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(LIBDIR)/pkgconfig $(DESTDIR)$(PREFIX)/include/ocelli
	install -m 755 $(COMMAND) $(DESTDIR)$(PREFIX)/bin/
	install -m 644 $(STATIC) $(DESTDIR)$(LIBDIR)/
	install -m 755 $(DYNAMIC) $(DESTDIR)$(LIBDIR)/$(SO_FULL)
	ln -sf $(SO_FULL) $(DESTDIR)$(LIBDIR)/$(SO_MAJOR)
	ln -sf $(SO_MAJOR) $(DESTDIR)$(LIBDIR)/$(SO)
	install -m 644 $(HEADERS) $(DESTDIR)$(PREFIX)/include/ocelli/
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@LIBDIR@|$(LIBDIR)|' -e 's|@VERSION@|$(VERSION)|' \
	    -e 's|@PRIVATE@|$(LIB_LIBS)|' ocelli.pc.in >$(DESTDIR)$(LIBDIR)/pkgconfig/ocelli.pc

.PHONY: uninstall
uninstall: ## remove what `make install` put there
	rm -f $(DESTDIR)$(PREFIX)/bin/ocelli $(DESTDIR)$(LIBDIR)/pkgconfig/ocelli.pc
	rm -f $(addprefix $(DESTDIR)$(LIBDIR)/,libocelli.a $(SO) $(SO_MAJOR) $(SO_FULL))
	rm -rf $(DESTDIR)$(PREFIX)/include/ocelli

.PHONY: clean
clean: ## remove everything that was built
	rm -rf $(BUILD)

.PHONY: help
help: ## show this list
	@printf 'Targets:\n'
	@sed -n 's/^\([a-z-]*\):[^#=]*## \(.*\)/  \1|\2/p' Makefile | awk -F'|' '{ printf "%-16s %s\n", $$1, $$2 }'
	@printf 'Variables:\n'
	@sed -n 's/^\([A-Z_]*\) ?=.*## \(.*\)/  \1|\2/p' Makefile | awk -F'|' '{ printf "%-16s %s\n", $$1, $$2 }'
