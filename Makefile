# Dragoman. `make help` lists the targets.
#   CC=clang  CXX=clang++   another compiler      V=1     show commands
#   WERROR=1  warnings are errors                 SANITIZE=address,undefined
#   BUILD=dir where objects go                    PREFIX=/usr/local DESTDIR=
#   MPI=1     train in several processes (needs libopenmpi-dev; objects go to build/mpi)

VERSION := 0.1.0
CC ?= cc
CXX ?= c++
BUILD ?= build$(if $(MPI),/mpi)
PREFIX ?= /usr/local
MACHINE := $(shell uname -m)

# The Debian packages a build, the tests and the demo need.
DEBIAN_PACKAGES := gcc g++ make pkg-config libsentencepiece-dev libopenblas-dev zlib1g-dev \
  libicu-dev libjansson-dev libxxhash-dev libxml2-dev libzip-dev libyaml-dev \
  libcld2-dev libcmocka-dev gettext jq time

PKGS := sentencepiece openblas zlib icu-uc icu-i18n jansson libxxhash libxml-2.0 libzip yaml-0.1
ifdef MPI
PKGS += ompi-c
CPPFLAGS += -DDG_MPI
endif
PKG_CFLAGS = $(shell pkg-config --cflags $(PKGS))
PKG_LIBS = $(shell pkg-config --libs $(PKGS))

WARNINGS := -Wno-psabi -Wall -Wextra -Wshadow -Wconversion -Wvla -Wpointer-arith -Wwrite-strings
C_WARNINGS = $(WARNINGS) -Wstrict-prototypes -Wmissing-prototypes
OPT ?= -O3 -g
# Kernels need sqrt and rounding inline; nothing here reads errno or traps after them.
OPT += -fno-math-errno -fno-trapping-math
ifdef WERROR
WARNINGS += -Werror
endif
ifdef SANITIZE
OPT := -O1 -g -fno-omit-frame-pointer -fno-math-errno -fno-trapping-math -fno-sanitize-recover=all -fsanitize=$(SANITIZE)
LDFLAGS += -fsanitize=$(SANITIZE)
endif

CPPFLAGS += -I. -D_GNU_SOURCE -DDRAGOMAN_VERSION='"$(VERSION)"'
ALL_CFLAGS = -std=c17 $(OPT) -fPIC -fvisibility=default -pthread $(C_WARNINGS) $(CFLAGS)
ALL_CXXFLAGS = -std=c++17 $(OPT) -fPIC -pthread $(WARNINGS) $(CXXFLAGS)
LIBS = $(PKG_LIBS) -lcld2 -lstdc++ -lm -pthread

# Kernels are compiled once per instruction set and chosen at run time.
ifneq ($(filter x86_64 amd64,$(MACHINE)),)
ISA_AVX2 := -mavx2 -mfma -mf16c -ffp-contract=fast
ISA_AVX512 := $(ISA_AVX2) -mavx512f -mavx512bw -mavx512dq -mavx512vl -mprefer-vector-width=512
ISA_AVX512_BF16 := $(ISA_AVX512) -mavx512bf16
ISA_AVX512_VNNI := $(ISA_AVX512) -mavx512vnni
endif

LIB_C := $(sort $(wildcard mt/core/*.c mt/kernels/*.c mt/model/*.c mt/decode/*.c mt/train/*.c \
  mt/import/*.c tokenizer/*.c data/*.c eval/*.c))
LIB_CC := $(sort $(wildcard tokenizer/*.cc))
CLI_C := $(sort $(wildcard mt/cli/*.c))
TEST_C := $(sort $(wildcard tests/test_*.c))
TEST_LIB_C := $(filter-out $(TEST_C),$(sort $(wildcard tests/*.c)))
BENCH_C := $(sort $(wildcard tests/bench/*.c))
FUZZ_LIB_C := tests/fuzz/input.c
FUZZ_C := $(filter-out $(FUZZ_LIB_C) tests/fuzz/replay.c,$(sort $(wildcard tests/fuzz/*.c)))

# What others may include: not the headers that say they are private to their folder.
PUBLIC_HEADERS := $(shell grep -L 'Private to' mt/core/*.h mt/model/*.h mt/decode/*.h mt/train/*.h \
  tokenizer/*.h data/*.h eval/*.h $(patsubst %,mt/kernels/%.h,gemm isa matrix) \
  $(patsubst %,mt/import/%.h,checkpoint exchange family import))

obj = $(patsubst %,$(BUILD)/obj/%.o,$(1))
LIB_O := $(call obj,$(LIB_C) $(LIB_CC))
CLI_O := $(call obj,$(CLI_C))
TEST_LIB_O := $(call obj,$(TEST_LIB_C))
TESTS := $(patsubst tests/%.c,$(BUILD)/tests/%,$(TEST_C))
FUZZERS := $(patsubst tests/fuzz/%.c,$(BUILD)/fuzz/%,$(FUZZ_C))
BENCHES := $(patsubst tests/bench/%.c,$(BUILD)/bench/%,$(BENCH_C))

ifndef V
Q := @
say = @echo "  $(1) $(2)"
endif

.PHONY: all build help setup demo check test asan fuzz fuzzers bench goldens install uninstall clean format
.DEFAULT_GOAL := build

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: $(BUILD)/dragoman $(BUILD)/libdragoman.a $(BUILD)/libdragoman.so $(BUILD)/dragoman.pc ## build the program and the library
all: build $(TESTS) $(BENCHES) $(FUZZERS)

setup: ## install the Debian packages that are missing
	@missing=""; for p in $(DEBIAN_PACKAGES); do \
	  dpkg-query -W -f='$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$p"; done; \
	if [ -n "$$missing" ]; then \
	  echo "installing:$$missing"; \
	  if [ "$$(id -u)" = 0 ]; then SUDO=; else SUDO=sudo; fi; \
	  $$SUDO apt-get -q update && \
	  $$SUDO env DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends $$missing; fi

demo: setup ## set up, build, and translate a sample document
	@$(MAKE) --no-print-directory build
	@tests/demo.sh $(BUILD)/dragoman

check: setup ## set up, build, and run every test
	@$(MAKE) --no-print-directory test

test: build $(TESTS) $(FUZZERS) ## run every test (no set-up)
	@tests/run $(BUILD)

asan: ## run every test under the address and undefined-behaviour sanitizers
	@ASAN_OPTIONS=detect_leaks=1 LSAN_OPTIONS=suppressions=tests/lsan.supp:print_suppressions=0 \
	  $(MAKE) --no-print-directory BUILD=build/asan SANITIZE=address,undefined test

fuzz: ## let libFuzzer look for what breaks a reader, FUZZ_SECONDS (600) each (needs clang)
	@$(MAKE) --no-print-directory BUILD=build/fuzz CC=clang CXX=clang++ LIBFUZZER=-fsanitize=fuzzer \
	  SANITIZE=address,undefined,fuzzer-no-link fuzzers
	@tests/fuzz/run build/fuzz

fuzzers: $(FUZZERS)

bench: build $(BENCHES) ## run the benchmarks of tests/bench
	@tests/bench/run $(BUILD)

goldens: ## remake the reference files in tests/ (needs Python with PyTorch, transformers, sacrebleu)
	@tests/goldens/make $(BUILD)

install: build ## install under $(DESTDIR)$(PREFIX)
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib/pkgconfig
	install $(BUILD)/dragoman $(DESTDIR)$(PREFIX)/bin/
	install -m 644 $(BUILD)/libdragoman.a $(DESTDIR)$(PREFIX)/lib/
	install $(BUILD)/libdragoman.so $(DESTDIR)$(PREFIX)/lib/libdragoman.so.$(VERSION)
	ln -sf libdragoman.so.$(VERSION) $(DESTDIR)$(PREFIX)/lib/libdragoman.so.0
	ln -sf libdragoman.so.0 $(DESTDIR)$(PREFIX)/lib/libdragoman.so
	install -m 644 $(BUILD)/dragoman.pc $(DESTDIR)$(PREFIX)/lib/pkgconfig/
	for h in $(PUBLIC_HEADERS); do \
	  install -D -m 644 $$h $(DESTDIR)$(PREFIX)/include/dragoman/$$h; done
	install -D -m 644 mt/import/attach_adapter.py $(DESTDIR)$(PREFIX)/share/dragoman/attach_adapter.py
	for f in data/models/*.safetensors; do [ ! -f $$f ] || \
	  install -D -m 644 $$f $(DESTDIR)$(PREFIX)/share/dragoman/$$(basename $$f); done

clean: ## remove what was built
	rm -rf $(BUILD) build/asan build/clang build/fuzz

format: ## reformat the sources with clang-format
	clang-format -i $(LIB_C) $(LIB_CC) $(CLI_C) $(TEST_C) $(TEST_LIB_C) $(wildcard mt/*/*.h tokenizer/*.h data/*.h eval/*.h tests/*.h)

$(BUILD)/dragoman: $(CLI_O) $(BUILD)/libdragoman.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS)

# Built anew, so that the object of a deleted source cannot linger inside.
$(BUILD)/libdragoman.a: $(LIB_O)
	$(call say,AR,$@)
	$(Q)rm -f $@ && ar rcs $@ $^

$(BUILD)/libdragoman.so: $(LIB_O) mt/libdragoman.map
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS) -shared -Wl,-soname,libdragoman.so.0 -Wl,--version-script=mt/libdragoman.map \
	  -o $@ $(LIB_O) $(LIBS)

$(BUILD)/dragoman.pc: Makefile
	@mkdir -p $(@D)
	@printf 'prefix=%s\nName: dragoman\nDescription: Low-resource machine translation with adapters\nVersion: %s\nCflags: -I$${prefix}/include/dragoman\nLibs: -L$${prefix}/lib -ldragoman\nRequires.private: %s\nLibs.private: -lcld2 -lstdc++ -lm -pthread\n' '$(PREFIX)' '$(VERSION)' '$(PKGS)' > $@

$(BUILD)/tests/%: $(BUILD)/obj/tests/%.c.o $(TEST_LIB_O) $(BUILD)/libdragoman.a
	$(call say,LINK,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ -lcmocka $(LIBS)

# With libFuzzer its main is the program's, else one that only reads files again.
$(BUILD)/fuzz/%: $(BUILD)/obj/tests/fuzz/%.c.o $(call obj,$(FUZZ_LIB_C) tests/sign.c) \
    $(if $(LIBFUZZER),,$(call obj,tests/fuzz/replay.c)) $(BUILD)/libdragoman.a
	$(call say,LINK,$@)
	@mkdir -p $(@D)
	$(Q)$(CXX) $(LDFLAGS) $(LIBFUZZER) -o $@ $^ $(LIBS)

$(BUILD)/bench/%: $(BUILD)/obj/tests/bench/%.c.o $(BUILD)/libdragoman.a
	$(call say,LINK,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS)

$(BUILD)/obj/%_avx2.c.o: ISA := $(ISA_AVX2)
$(BUILD)/obj/%_avx512.c.o: ISA := $(ISA_AVX512)
$(BUILD)/obj/%_avx512_bf16.c.o: ISA := $(ISA_AVX512_BF16)
$(BUILD)/obj/%_avx512_vnni.c.o: ISA := $(ISA_AVX512_VNNI)

# One pkg-config call per run, made only when something is compiled.
$(BUILD)/obj/%.c.o: %.c Makefile
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(PKG_CFLAGS) $(ALL_CFLAGS) $(ISA) -MMD -MP -c -o $@ $<

$(BUILD)/obj/%.cc.o: %.cc Makefile
	$(call say,CXX,$<)
	@mkdir -p $(@D)
	$(Q)$(CXX) $(CPPFLAGS) $(PKG_CFLAGS) $(ALL_CXXFLAGS) -MMD -MP -c -o $@ $<

.SECONDARY:
-include $(patsubst %.o,%.d,$(LIB_O) $(CLI_O) $(TEST_LIB_O) $(call obj,$(TEST_C) $(BENCH_C) $(wildcard tests/fuzz/*.c)))
