# SPDX-License-Identifier: MIT
#
# make			the library and the tool, into $(O)
# make check		everything that can be checked; see scripts/check
# make demo, bench	the main job on real input; the figures
# make tests examples	build those programs without running them
# make install		PREFIX=/usr/local DESTDIR=
# make clean
#
# O=dir			build there instead of build/
# SAN=address		or undefined, thread, address,undefined; into build-address
# DEBUG=1		keep the assertions
# WERROR=1		warnings are errors
# CC=clang		works as well

MAKEFLAGS += --no-builtin-rules
.SUFFIXES:
.DELETE_ON_ERROR:

comma := ,
SAN ?=
DEBUG ?=
WERROR ?=
O ?= build$(if $(SAN),-$(subst $(comma),-,$(SAN)))
PREFIX ?= /usr/local
DESTDIR ?=
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
BINDIR ?= $(PREFIX)/bin
DATADIR ?= $(PREFIX)/share
MANDIR ?= $(DATADIR)/man

CFLAGS ?= -O2 -g
ifeq ($(origin CC),default)
CC := gcc
endif
AR ?= ar
OBJCOPY ?= objcopy

version_of = $(shell sed -n \
	's/^.define TOL_VERSION_$(1) \([0-9]*\)$$/\1/p' include/tolsey.h)
VERSION := $(call version_of,MAJOR).$(call version_of,MINOR).$(call \
	version_of,PATCH)
SONAME := libtolsey.so.0
SOFILE := $(SONAME).$(VERSION)

WARNINGS := -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes \
	-Wmissing-prototypes -Wvla -Wundef $(if $(WERROR),-Werror)
BUILD_FLAGS = -std=c11 -fPIC -fvisibility=hidden -pthread $(WARNINGS) \
	$(if $(DEBUG),,-DNDEBUG) \
	$(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer \
	$(if $(findstring undefined,$(SAN)),-fno-sanitize-recover=undefined)) \
	$(CPPFLAGS) $(CFLAGS)
LINK_FLAGS = -pthread $(if $(SAN),-fsanitize=$(SAN)) $(LDFLAGS)

# Only base may use what is not in the standards.
PLAIN := -D_POSIX_C_SOURCE=200809L -D_DEFAULT_SOURCE
# Large files and late years where longs have 32 bits; no change elsewhere.
LARGE := -D_FILE_OFFSET_BITS=64 -D_TIME_BITS=64
FLAGS_base := -D_GNU_SOURCE $(LARGE) -Iinclude -Isrc
FLAGS_layout := $(PLAIN) -Iinclude -Isrc
FLAGS_core := $(PLAIN) -Iinclude -Isrc
FLAGS_tool := $(PLAIN) $(LARGE) -Iinclude
FLAGS_examples := $(PLAIN) -Iinclude
FLAGS_bench := -D_GNU_SOURCE -Iinclude -Ibench/support
FLAGS_demo := -D_GNU_SOURCE -Iinclude -Idemo/support
# Expanded only where a test is built: the rest needs no pkg-config. Tests
# keep their assertions.
FLAGS_tests = -UNDEBUG $(if $(SAN),-DSANITIZED) -D_GNU_SOURCE -Iinclude -Isrc -Itests/support \
	$(shell pkg-config --cflags check)
LIBS_tests = $(shell pkg-config --libs check)
LIBS_bench := -lrt -lm
LIBS_demo := -lrt -lm

objects = $(patsubst %.c,$(O)/obj/%.o,$(1))
programs = $(patsubst %.c,$(O)/%,$(wildcard $(1)/*.c))

LIB_OBJECTS := $(call objects,$(wildcard $(addprefix src/,base/*.c \
	layout/*.c core/*.c)))
TOOL_SOURCES := $(wildcard src/tool/*.c)
TEST_PROGRAMS := $(call programs,tests)
KILL_PROGRAM := $(O)/tests/kill/harness
BENCH_PROGRAMS := $(call programs,bench)
DEMO_PROGRAMS := $(call programs,demo)
EXAMPLE_PROGRAMS := $(call programs,examples)

# What tests link with: internal names are still to be seen in it.
INTERNAL := $(O)/obj/libtolsey-internal.a

.PHONY: all tests examples bench-programs demo-programs check demo bench \
	install uninstall clean FORCE

all: $(O)/libtolsey.so $(O)/libtolsey.a $(if $(TOOL_SOURCES),$(O)/tolsey)

# Another compiler or other flags: build anew.
$(O)/obj/flags: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' '$(CC) $(BUILD_FLAGS) $(LINK_FLAGS)' | cmp -s - $@ || \
		printf '%s\n' '$(CC) $(BUILD_FLAGS) $(LINK_FLAGS)' > $@

# The flags of src/core/x.c are FLAGS_core, those of tests/kill/x.c FLAGS_tests.
flags_for = $(FLAGS_$(firstword $(subst /, ,$(patsubst src/%,%,$(1)))))

$(O)/obj/%.o: %.c $(O)/obj/flags Makefile
	@mkdir -p $(@D)
	$(CC) $(call flags_for,$<) $(BUILD_FLAGS) -MMD -MP -c -o $@ $<

$(INTERNAL): $(LIB_OBJECTS)
	@rm -f $@
	$(AR) rcs $@ $^

# One object whose internal names are local, so that they cannot clash with
# those of a program that links statically. Groups, such as those of functions
# that the compiler adds, are dissolved: the linker would keep another object's.
$(O)/libtolsey.a: $(LIB_OBJECTS)
	$(CC) -r -nostdlib -Wl,--force-group-allocation -o $(O)/obj/tolsey.o $^
	$(OBJCOPY) --localize-hidden $(O)/obj/tolsey.o
	@rm -f $@
	$(AR) rcs $@ $(O)/obj/tolsey.o

$(O)/$(SOFILE): $(LIB_OBJECTS) libtolsey.map
	$(CC) -shared -Wl,-soname,$(SONAME) -Wl,--version-script,libtolsey.map \
		-Wl,-z,relro,-z,now $(if $(SAN),,-Wl,-z,defs) $(LINK_FLAGS) \
		-o $@ $(LIB_OBJECTS)

$(O)/libtolsey.so: $(O)/$(SOFILE)
	ln -sf $(SOFILE) $(O)/$(SONAME)
	ln -sf $(SONAME) $@

$(O)/tolsey: $(call objects,$(TOOL_SOURCES)) $(O)/libtolsey.a
	$(CC) $(LINK_FLAGS) -o $@ $^

support = $(call objects,$(wildcard $(1)/support/*.c))

$(TEST_PROGRAMS): $(O)/tests/%: $(O)/obj/tests/%.o \
		$(call support,tests) $(INTERNAL)
	@mkdir -p $(@D)
	$(CC) $(LINK_FLAGS) -o $@ $^ $(LIBS_tests)

# Linked statically where that can be: its points have addresses that stay, in
# libc too.
$(KILL_PROGRAM): $(call objects,$(wildcard tests/kill/*.c)) $(INTERNAL)
	@mkdir -p $(@D)
	$(CC) $(if $(SAN),,-static) $(LINK_FLAGS) -o $@ $^

$(BENCH_PROGRAMS): $(O)/bench/%: $(O)/obj/bench/%.o $(call support,bench) \
		$(O)/libtolsey.a
	@mkdir -p $(@D)
	$(CC) $(LINK_FLAGS) -o $@ $^ $(LIBS_bench)

$(DEMO_PROGRAMS): $(O)/demo/%: $(O)/obj/demo/%.o $(call support,demo) \
		$(O)/libtolsey.a
	@mkdir -p $(@D)
	$(CC) $(LINK_FLAGS) -o $@ $^ $(LIBS_demo)

$(EXAMPLE_PROGRAMS): $(O)/examples/%: $(O)/obj/examples/%.o $(O)/libtolsey.a
	@mkdir -p $(@D)
	$(CC) $(LINK_FLAGS) -o $@ $^

tests: all $(TEST_PROGRAMS) $(KILL_PROGRAM)
examples: all $(EXAMPLE_PROGRAMS)
bench-programs: all $(BENCH_PROGRAMS)
demo-programs: all $(DEMO_PROGRAMS)

check:
	+@O='$(abspath $(O))' CC='$(CC)' MAKE='$(MAKE)' scripts/check

demo: demo-programs
	@demo/run '$(abspath $(O))'

bench: bench-programs
	@bench/run '$(abspath $(O))'

# The calls that a page is about, but for the one that it is named after: man
# finds it by each.
names_of = $(filter-out $(basename $(notdir $(1))), \
	$(shell sed -n 's/^\.Nm \(tol_[a-z_]*\).*/\1/p' $(1)))
MAN_3_DIR := $(DESTDIR)$(MANDIR)/man3

PC := $(DESTDIR)$(LIBDIR)/pkgconfig/tolsey.pc
MAN_1 := $(wildcard man/*.1)
MAN_3 := $(wildcard man/*.3)
MAN_7 := $(wildcard man/*.7)
BASH_DIR := $(DESTDIR)$(DATADIR)/bash-completion/completions
ZSH_DIR := $(DESTDIR)$(DATADIR)/zsh/site-functions
FISH_DIR := $(DESTDIR)$(DATADIR)/fish/vendor_completions.d

install: all
	install -d $(DESTDIR)$(LIBDIR)/pkgconfig $(DESTDIR)$(INCLUDEDIR) \
		$(DESTDIR)$(BINDIR)
	install -m 755 $(O)/$(SOFILE) $(DESTDIR)$(LIBDIR)/
	ln -sf $(SOFILE) $(DESTDIR)$(LIBDIR)/$(SONAME)
	ln -sf $(SONAME) $(DESTDIR)$(LIBDIR)/libtolsey.so
	install -m 644 $(O)/libtolsey.a $(DESTDIR)$(LIBDIR)/
	install -m 644 include/tolsey.h $(DESTDIR)$(INCLUDEDIR)/
	$(if $(TOOL_SOURCES),install -m 755 $(O)/tolsey $(DESTDIR)$(BINDIR)/)
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@LIBDIR@|$(LIBDIR)|' \
		-e 's|@INCLUDEDIR@|$(INCLUDEDIR)|' \
		-e 's|@VERSION@|$(VERSION)|' tolsey.pc.in > $(PC)
	chmod 644 $(PC)
	$(foreach n,1 3 7,$(if $(MAN_$(n)),install -d \
		$(DESTDIR)$(MANDIR)/man$(n) && install -m 644 $(MAN_$(n)) \
		$(DESTDIR)$(MANDIR)/man$(n)/ &&)) :
	$(foreach page,$(MAN_3),$(foreach name,$(call names_of,$(page)), \
		ln -sf $(notdir $(page)) $(MAN_3_DIR)/$(name).3 &&)) :
	$(if $(wildcard completions/tolsey.bash),install -d $(BASH_DIR) && \
		install -m 644 completions/tolsey.bash $(BASH_DIR)/tolsey)
	$(if $(wildcard completions/tolsey.zsh),install -d $(ZSH_DIR) && \
		install -m 644 completions/tolsey.zsh $(ZSH_DIR)/_tolsey)
	$(if $(wildcard completions/tolsey.fish),install -d $(FISH_DIR) && \
		install -m 644 completions/tolsey.fish $(FISH_DIR)/tolsey.fish)

uninstall:
	rm -f $(DESTDIR)$(LIBDIR)/$(SOFILE) $(DESTDIR)$(LIBDIR)/$(SONAME) \
		$(DESTDIR)$(LIBDIR)/libtolsey.so $(DESTDIR)$(LIBDIR)/libtolsey.a \
		$(DESTDIR)$(INCLUDEDIR)/tolsey.h $(DESTDIR)$(BINDIR)/tolsey $(PC) \
		$(foreach n,1 3 7,$(patsubst man/%,$(DESTDIR)$(MANDIR)/man$(n)/%, \
		$(MAN_$(n)))) $(foreach name,$(call names_of,$(MAN_3)), \
		$(MAN_3_DIR)/$(name).3) $(BASH_DIR)/tolsey $(ZSH_DIR)/_tolsey \
		$(FISH_DIR)/tolsey.fish

clean:
	rm -rf '$(O)'

-include $(shell test -d '$(O)/obj' && find '$(O)/obj' -name '*.d')
