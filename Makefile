# nightjar - one Makefile, wildcards only: a new file needs no edit here.
#   make          ./nightjar             make demo     install what is missing, build, run a simulated night
#   make test     all tests              make check    format, lint, include test
#   make test-timing  tests that need a clock (they judge this machine, and gate nothing)
#   make coverage lines and branches that the tests reach, per room
#   make sanitize tests under ASan+UBSan, threaded ones under TSan
#   make man      pages for man and completion for shells, into build/man
#   make compile_commands  build/compile_commands.json, for clangd
#   make picture  who includes whom, into README.md     make figures   the pictures of the documents
.DEFAULT_GOAL := all
V ?= 0
Q := $(if $(filter 0,$(V)),@)
say = $(if $(filter 0,$(V)),@echo '  $(1)')
jobs := $(shell nproc 2>/dev/null || echo 2)
FLAVOUR ?= release
BUILD   := build/$(FLAVOUR)
BIN     := $(if $(filter release,$(FLAVOUR)),nightjar,$(BUILD)/nightjar)
PREFIX  ?= /usr/local

CC  ?= cc
CXX ?= c++
OPT.release := -O2 -g
OPT.asan    := -O1 -g -DNJ_SLOW_ASSERTS -fsanitize=address,undefined -fno-sanitize-recover=undefined \
               -fno-omit-frame-pointer
OPT.tsan    := -O1 -g -DNJ_SLOW_ASSERTS -fsanitize=thread
OPT.coverage := -O1 -g -DNJ_SLOW_ASSERTS -DNJ_COVERAGE --coverage -fprofile-update=atomic
WARN   := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith \
          -Wno-missing-field-initializers
# No -ffast-math (NaN is "no answer"), no contraction: the same digits on every machine of a build.
COMMON := $(OPT.$(FLAVOUR)) -fopenmp -ffp-contract=off -fno-math-errno -fPIC -D_GNU_SOURCE -Iinclude
LIBS   := -lrdkafka -lavro -lcfitsio -lsqlite3 -larchive -ldeflate -lsnappy -lzstd -lz -llzma -lbz2 \
          -ljansson -lcurl -linih -lerfa -lchealpix -lwcs -lxml2 -lfftw3 -lgsl -lgslcblas -lmicrohttpd \
          -lcrypto -ldw -lelf -lunwind -ldl -lm -lpthread
VERSION := $(shell git describe --always --dirty 2>/dev/null || echo unknown)
DATE    := $(shell git log -1 --format=%cs 2>/dev/null)

src     := $(sort $(wildcard broker/*.c broker/*/*.c))
cxx     := $(sort $(wildcard broker/*/*.cc))
modules := $(sort $(wildcard modules/*.c))
kit     := $(sort $(wildcard modules/kit/*/*.c))
cmds    := $(notdir $(basename $(sort $(wildcard broker/cmd/*.c))))
embed   := $(sort $(wildcard schemas/*.map schemas/*/*.avsc data/*.ini data/topics/*.ini data/ref/*.csv \
           data/embed/*.* data/embed/pages/* data/webhooks/*.json))
gen     := $(BUILD)/gen
obj     := $(patsubst %,$(BUILD)/%.o,$(src) $(cxx))
modobj  := $(patsubst %,$(BUILD)/%.o,$(modules))
kitobj  := $(patsubst %,$(BUILD)/%.o,$(kit))
genobj  := $(gen)/tables.o $(gen)/embed.o
KIT     := $(BUILD)/libnightjar-kit.a
tests   := $(sort $(wildcard tests/unit/*.c tests/kernel/*.c tests/module/*.c))
testbin := $(patsubst tests/%.c,$(BUILD)/tests/%,$(tests))
timings := $(patsubst tests/%.c,$(BUILD)/tests/%,$(sort $(wildcard tests/timing/*.c)))
fuzzbin := $(patsubst tests/fuzz/%.c,$(BUILD)/fuzz/%,$(sort $(wildcard tests/fuzz/*.c)))
guides  := $(wildcard */README.md */*/README.md broker/*.md modules/*.md modules/*/*.md \
           modules/python/*/*.md modules/kit/*/*.md include/nightjar/*.md broker/*/*.md perf/*.md data/*.md)
soobj   := $(patsubst modules/%.c,$(BUILD)/so/%.so,$(modules))

.PHONY: all demo coverage test test-timing timingbins check sanitize bench man install uninstall clean deps \
        so testbins onnxruntime soak fuzz picture figures compile_commands FORCE
all: $(BIN)

$(BUILD)/%.c.o: %.c
	@mkdir -p $(@D)
	$(call say,CC    $<)
	$(Q)$(CC) -std=c11 $(COMMON) $(WARN) $(CFLAGS) -MMD -MP -c $< -o $@
$(BUILD)/%.cc.o: %.cc
	@mkdir -p $(@D)
	$(call say,CXX   $<)
	$(Q)$(CXX) -std=c++17 $(COMMON) -Wall -Wextra $(CXXFLAGS) -MMD -MP -c $< -o $@
LIBXML2 := $(shell pkg-config --cflags libxml-2.0 2>/dev/null || echo -I/usr/include/libxml2)
$(BUILD)/broker/catalog/votable.c.o: COMMON += $(LIBXML2)
# Science modules and the kit see include/ only and export nothing but their table entry.
$(modobj) $(kitobj): COMMON += -fvisibility=hidden -O3
$(BUILD)/broker/base/version.c.o: $(gen)/revision
$(gen)/revision: FORCE
	@mkdir -p $(@D)
	@echo '$(VERSION)' | cmp -s - $@ || echo '$(VERSION)' > $@
$(BUILD)/broker/base/version.c.o: COMMON += -DNJ_VERSION='"$(VERSION)"' -DNJ_DATE='"$(DATE)"' \
        -DNJ_FLAGS='"$(OPT.$(FLAVOUR)) $(CFLAGS)"'

# --- generated: the tables of modules and commands, and the files that travel inside the binary -------------
# Rewritten only when a list changes, so that adding or removing a file relinks and nothing else.
$(gen)/lists: FORCE
	@mkdir -p $(@D)
	@echo '$(modules) | $(cmds) | $(embed)' | cmp -s - $@ || echo '$(modules) | $(cmds) | $(embed)' > $@
$(gen)/tables.c: $(gen)/lists
	@{ echo '#include "nightjar/module.h"'; echo '#include "../../../broker/cmd/command.h"'; \
	for m in $(basename $(notdir $(modules))); do echo "extern const nj_module nj_module_$$m;"; done; \
	echo 'extern const nj_module *const nj_builtin_modules[];'; \
	echo 'const nj_module *const nj_builtin_modules[] = {'; \
	for m in $(basename $(notdir $(modules))); do echo "    &nj_module_$$m,"; done; echo '    0 };'; \
	for c in $(cmds); do echo "extern const nj_command nj_command_$$c;"; done; \
	echo 'const nj_command *const nj_commands[] = {'; \
	for c in $(cmds); do echo "    &nj_command_$$c,"; done; echo '    0 };'; } > $@
$(gen)/embed.S: $(gen)/lists $(embed)
	@{ echo '.section .rodata'; n=0; for f in $(embed); do \
	echo ".balign 16"; echo "file$$n: .incbin \"$$f\""; echo "end$$n: .byte 0"; \
	echo "name$$n: .asciz \"$$f\""; n=$$((n+1)); done; \
	echo '.section .data.rel.ro,"aw"'; echo '.balign 16'; \
	echo '.globl nj_embedded_files'; echo 'nj_embedded_files:'; \
	n=0; for f in $(embed); do echo ".quad name$$n, file$$n, end$$n - file$$n"; n=$$((n+1)); done; \
	echo '.quad 0, 0, 0'; \
	echo '.section .note.GNU-stack,"",@progbits'; } > $@
$(gen)/%.o: $(gen)/%.c
	$(Q)$(CC) -std=c11 $(COMMON) -c $< -o $@
$(gen)/%.o: $(gen)/%.S
	$(Q)$(CC) -c $< -o $@

# What is linked takes its name when it is whole: a program that runs or reads the old one goes on with it.
whole = && mv -f $@.part $@
$(KIT): $(kitobj)
	@rm -f $@.part
	$(call say,AR    $@)
	$(Q)ar rcs $@.part $^ $(whole)
$(BUILD)/libnightjar.a: $(filter-out $(BUILD)/broker/main.c.o,$(obj)) $(modobj) $(genobj)
	@rm -f $@.part
	$(call say,AR    $@)
	$(Q)ar rcs $@.part $^ $(whole)
$(BIN): $(BUILD)/broker/main.c.o $(BUILD)/libnightjar.a $(KIT)
	$(call say,LINK  $@)
	$(Q)$(CXX) $(COMMON) $(LDFLAGS) -rdynamic -o $@.part $^ $(LIBS) $(whole)

# The same source as a module for --module-path.
so: $(soobj)
$(BUILD)/so/%.so: modules/%.c $(KIT)
	@mkdir -p $(@D)
	$(call say,SO    $@)
	$(Q)$(CC) -std=c11 $(COMMON) -O3 -fvisibility=hidden $(WARN) -DNJ_SHARED -shared $(LDFLAGS) -o $@.part $< \
	$(KIT) -lm -lfftw3 -lgsl -lgslcblas -lerfa $(whole)

# --- tests --------------------------------------------------------------------------------------------------
# A test may begin with "/* link: OPTIONS */": it replaces functions of the C library that way (fake_clock.h).
$(BUILD)/tests/%: tests/%.c $(BUILD)/libnightjar.a $(KIT)
	@mkdir -p $(@D)
	$(call say,TEST  $<)
	$(Q)$(CC) -std=c11 $(COMMON) $(WARN) $(CFLAGS) -MMD -MP -MT $@ -I. -c $< -o $@.o
	$(Q)$(CXX) $(COMMON) $(LDFLAGS) $$(sed -n 's,^/\* link: \(.*\) \*/$$,\1,p' $<) -o $@ $@.o \
	$(BUILD)/libnightjar.a $(KIT) -lcmocka $(LIBS)
# The same program, but each piece of an arena is an allocation of its own: tests/e2e/malloc.py lets each of
# them fail.
$(BUILD)/nightjar-pieces: $(BUILD)/broker/main.c.o $(BUILD)/libnightjar.a $(KIT)
	$(call say,LINK  $@)
	$(Q)$(CC) -std=c11 $(COMMON) $(WARN) -DNJ_ARENA_FIRST=1 -DNJ_ARENA_LAST=1 -c broker/base/arena.c -o $@.o
	$(Q)$(CXX) $(COMMON) $(LDFLAGS) -rdynamic -o $@ $@.o $^ $(LIBS)
testbins: $(testbin) $(BUILD)/nightjar-pieces
timingbins: $(timings)

deps:
	@.ci/deps build
demo:
	@.ci/deps build
	@$(MAKE) --no-print-directory -j$(jobs) all
	./nightjar demo
	@echo; echo 'Next: ./nightjar simulate -o night.tar.gz, ./nightjar run night.tar.gz -o ndjson:out.ndjson,' \
	'./nightjar doctor; README.md has the guides.'
test:
	@.ci/deps test
	@.ci/tools
	@$(MAKE) --no-print-directory -j$(jobs) all testbins so
	@tests/run $(TESTS)
test-timing:
	@.ci/deps test
	@.ci/tools
	@$(MAKE) --no-print-directory -j$(jobs) all timingbins so
	@tests/run --timing $(TESTS)
check:
	@.ci/deps check
	@tests/check $(if $(ALL),--all)
sanitize:
	@.ci/deps check
	@tests/sanitize $(if $(SHORT),--short) $(TESTS)
coverage:
	@.ci/deps check
	@.ci/tools
	@tests/coverage $(TESTS)
bench: all
	./nightjar bench
soak: all
	@tests/soak $(TESTS)
fuzz:
	@.ci/deps check
	@tests/fuzz/run $(FUZZ)
picture:
	@tests/picture
compile_commands:
	@mkdir -p build
	@{ sep='['; \
	options='$(COMMON) $(WARN) -DNJ_VERSION=__FILE__ -DNJ_FLAGS=__FILE__ -I. -I/usr/include/libxml2'; \
	for f in $(filter %.c,$(src)) $(modules) $(kit) $(tests) $(wildcard tests/fuzz/*.c tests/timing/*.c); do \
	printf '%s\n{"directory": "%s", "file": "%s", "command": "%s -std=c11 %s -c %s"}' \
	"$$sep" '$(CURDIR)' "$$f" '$(CC)' "$$options" "$$f"; sep=,; done; echo ']'; } > build/compile_commands.json
figures: all
	@perf/figures
onnxruntime:
	@.ci/onnxruntime

# Pages for man, and completion for bash and zsh, from the tables of the commands.
man: all
	@mkdir -p build/man
	@rm -f build/man/*
	@./$(BIN) man > build/man/nightjar.1
	@for c in $(subst _,-,$(cmds)); do ./$(BIN) man $$c > build/man/nightjar-$$c.1 || exit 1; done
	@./$(BIN) completion bash > build/man/nightjar.bash
	@./$(BIN) completion zsh > build/man/_nightjar
	@echo '  build/man: nightjar.1, a page of each command, nightjar.bash, _nightjar'

install: all man
	install -D -m 755 nightjar $(DESTDIR)$(PREFIX)/bin/nightjar
	install -D -m 644 $(KIT) $(DESTDIR)$(PREFIX)/lib/libnightjar-kit.a
	install -d $(DESTDIR)$(PREFIX)/include/nightjar $(DESTDIR)$(PREFIX)/share/doc/nightjar
	install -m 644 include/nightjar/*.h $(DESTDIR)$(PREFIX)/include/nightjar
	install -m 644 LICENSE $(DESTDIR)$(PREFIX)/share/doc/nightjar
	@for f in README.md CHANGELOG.md $(guides); do \
	  install -D -m 644 $$f $(DESTDIR)$(PREFIX)/share/doc/nightjar/$$f || exit 1; done
	install -d $(DESTDIR)$(PREFIX)/lib/pkgconfig
	@printf '%s\n' 'prefix=$(PREFIX)' '' 'Name: nightjar' 'Description: modules of the alert broker nightjar' \
	  'Version: 0.1.0' 'Cflags: -I$${prefix}/include' 'Libs: -L$${prefix}/lib -lnightjar-kit -lm' \
	  'Libs.private: -lfftw3 -lgsl -lgslcblas -lerfa' > $(DESTDIR)$(PREFIX)/lib/pkgconfig/nightjar.pc
	install -d $(DESTDIR)$(PREFIX)/share/man/man1
	install -m 644 build/man/*.1 $(DESTDIR)$(PREFIX)/share/man/man1
	install -D -m 644 build/man/nightjar.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/nightjar
	install -D -m 644 build/man/_nightjar $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_nightjar
# What install writes, and folders that are empty then; PREFIX itself stays.
uninstall:
	@rm -rf build/installed
	@$(MAKE) -s $(if $(wildcard nightjar),-o nightjar) install DESTDIR=$(CURDIR)/build/installed >/dev/null
	@test -d build/installed$(PREFIX)
	cd build/installed$(PREFIX) && find . -type f -printf '%P\0' | (cd $(DESTDIR)$(PREFIX) && xargs -0 rm -f)
	@cd build/installed$(PREFIX) && find . -mindepth 1 -depth -type d -printf '%P\0' | \
	  (cd $(DESTDIR)$(PREFIX) && xargs -0 rmdir --ignore-fail-on-non-empty 2>/dev/null; true)
	@rm -rf build/installed
clean:
	rm -rf build nightjar

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
