# Builds shmkey with Cargo and installs it where C looks for things:
#
#     make && sudo make install                    into /usr/local
#     make install PREFIX=/usr DESTDIR=/tmp/root   into a tree that a package is made of
#     make uninstall                               takes it away again, with the same variables
#
# `make install` copies what `make` has built. It needs neither Cargo nor a network.

PREFIX     ?= /usr/local
BINDIR     ?= $(PREFIX)/bin
LIBDIR     ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
DATADIR    ?= $(PREFIX)/share
MANDIR     ?= $(DATADIR)/man
BASHDIR    ?= $(DATADIR)/bash-completion/completions
ZSHDIR     ?= $(DATADIR)/zsh/site-functions
FISHDIR    ?= $(DATADIR)/fish/vendor_completions.d
PCDIR       = $(LIBDIR)/pkgconfig
CMAKEDIR    = $(LIBDIR)/cmake/shmkey

CARGO      ?= cargo
CARGOFLAGS ?= --locked
INSTALL    ?= install

VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
# Programs that are linked with one library of this soname run with every other one. To be raised
# when that would no longer be true: see tests/abi.rs.
SONAME  := libshmkey.so.0

# As Cargo names them.
TARGET  := $(or $(CARGO_TARGET_DIR),target)
BUILT   := $(TARGET)/$(CARGO_BUILD_TARGET)/release
# A library with a soname needs a link of that name beside it. What developers link with in Cargo's
# folder has none, so the shared libraries that are installed are linked once more, elsewhere.
SHARED  := $(TARGET)/soname/$(CARGO_BUILD_TARGET)/release

MAN1 := $(wildcard man/*.1)
MAN3 := $(wildcard man/*.3)
MAN7 := $(wildcard man/*.7)

all:
	$(CARGO) build --release $(CARGOFLAGS)
	$(CARGO) rustc --release $(CARGOFLAGS) --target-dir $(TARGET)/soname \
	    -p shmkey --lib --crate-type cdylib -- -C link-arg=-Wl,-soname,$(SONAME)
	$(CARGO) rustc --release $(CARGOFLAGS) --target-dir $(TARGET)/soname \
	    -p shmkey-dropin --lib --crate-type cdylib -- -C link-arg=-Wl,-soname,libshmkey_dropin.so

install:
	@test -f $(SHARED)/libshmkey_dropin.so || { echo "nothing is built yet: run make first" >&2; exit 1; }
	$(INSTALL) -d $(addprefix $(DESTDIR),$(BINDIR) $(LIBDIR) $(INCLUDEDIR) $(PCDIR) $(CMAKEDIR))
	$(INSTALL) -m 755 $(BUILT)/shmkey $(DESTDIR)$(BINDIR)/
	$(INSTALL) -m 755 $(SHARED)/libshmkey.so $(DESTDIR)$(LIBDIR)/libshmkey.so.$(VERSION)
	ln -sf libshmkey.so.$(VERSION) $(DESTDIR)$(LIBDIR)/$(SONAME)
	ln -sf $(SONAME) $(DESTDIR)$(LIBDIR)/libshmkey.so
	$(INSTALL) -m 755 $(SHARED)/libshmkey_dropin.so $(DESTDIR)$(LIBDIR)/
	$(INSTALL) -m 644 $(BUILT)/libshmkey.a $(BUILT)/libshmkey_dropin.a $(DESTDIR)$(LIBDIR)/
	$(INSTALL) -m 644 include/shmkey.h include/shmkey.hpp $(DESTDIR)$(INCLUDEDIR)/
	for name in shmkey shmkey_dropin; do \
	    sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@LIBDIR@|$(call under_prefix,$(LIBDIR))|' \
	        -e 's|@INCLUDEDIR@|$(call under_prefix,$(INCLUDEDIR))|' -e 's|@VERSION@|$(VERSION)|' \
	        packaging/$$name.pc.in > $(DESTDIR)$(PCDIR)/$$name.pc || exit; \
	done
	$(INSTALL) -m 644 packaging/cmake/shmkeyConfigVersion.cmake $(DESTDIR)$(CMAKEDIR)/
	sed 's|^set(_shmkey_include_dirs |&$(shell realpath -ms --relative-to=$(LIBDIR) $(INCLUDEDIR)) |' \
	    packaging/cmake/shmkeyConfig.cmake > $(DESTDIR)$(CMAKEDIR)/shmkeyConfig.cmake
	chmod 644 $(addprefix $(DESTDIR),$(PCDIR)/shmkey.pc $(PCDIR)/shmkey_dropin.pc $(CMAKEDIR)/shmkeyConfig.cmake)
	$(call into,$(MANDIR)/man1,$(MAN1))
	$(call into,$(MANDIR)/man3,$(MAN3))
	$(call into,$(MANDIR)/man7,$(MAN7))
	$(call into,$(BASHDIR),$(wildcard completions/shmkey.bash),shmkey)
	$(call into,$(ZSHDIR),$(wildcard completions/_shmkey))
	$(call into,$(FISHDIR),$(wildcard completions/shmkey.fish))

# A folder as a .pc file names it: pkg-config can move the prefix, and what is said in terms of it.
under_prefix = $(patsubst $(PREFIX)/%,$${prefix}/%,$(1))

# $(call into,FOLDER,FILES,NAME): copies files, if there are any, into a folder; one under another name.
into = $(if $(2),$(INSTALL) -d $(DESTDIR)$(1) && $(INSTALL) -m 644 $(2) $(DESTDIR)$(1)/$(3))

uninstall:
	rm -f $(addprefix $(DESTDIR)$(BINDIR)/,shmkey)
	rm -f $(addprefix $(DESTDIR)$(LIBDIR)/,libshmkey.so libshmkey.so.* libshmkey.a libshmkey_dropin.so libshmkey_dropin.a)
	rm -f $(addprefix $(DESTDIR)$(INCLUDEDIR)/,shmkey.h shmkey.hpp)
	rm -f $(addprefix $(DESTDIR)$(PCDIR)/,shmkey.pc shmkey_dropin.pc)
	rm -rf $(DESTDIR)$(CMAKEDIR)
	rm -f $(addprefix $(DESTDIR)$(MANDIR)/man1/,$(notdir $(MAN1)))
	rm -f $(addprefix $(DESTDIR)$(MANDIR)/man3/,$(notdir $(MAN3)))
	rm -f $(addprefix $(DESTDIR)$(MANDIR)/man7/,$(notdir $(MAN7)))
	rm -f $(DESTDIR)$(BASHDIR)/shmkey $(DESTDIR)$(ZSHDIR)/_shmkey $(DESTDIR)$(FISHDIR)/shmkey.fish

.PHONY: all install uninstall
