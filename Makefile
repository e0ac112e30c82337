# Builds shmkey with Cargo and installs it where C looks for things:
#
#     make && sudo make install                    into /usr/local
#     make install PREFIX=/usr DESTDIR=/tmp/root   into a tree that a package is made of
#     make uninstall                               takes it away again, with the same variables
#     make clean                                   takes away what `make` has built
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
DOCDIR     ?= $(DATADIR)/doc/shmkey
PCDIR       = $(LIBDIR)/pkgconfig
CMAKEDIR    = $(LIBDIR)/cmake/shmkey

CARGO      ?= cargo
CARGOFLAGS ?= --locked
INSTALL    ?= install
STRIP      ?= strip

VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
# Programs that are linked with one library of this soname run with every other one. To be raised
# when that would no longer be true: see tests/abi.rs.
SONAME  := libshmkey.so.0

# As Cargo names them.
TARGET   := $(or $(CARGO_TARGET_DIR),target)
BUILT    := $(TARGET)/$(CARGO_BUILD_TARGET)/release
# A library with a soname needs a link of that name beside it. What developers link with in Cargo's
# folder has none, so libshmkey.so is linked once more, elsewhere.
RELINKED := $(TARGET)/soname
SHARED   := $(RELINKED)/$(CARGO_BUILD_TARGET)/release
# The command writes its manual pages and completions itself. For another processor, name one of the same version that
# runs here: make SHMKEY=/usr/bin/shmkey
SHMKEY    ?= $(BUILT)/shmkey
GENERATED := $(TARGET)/generated

MAN3 := $(wildcard man/*.3)
MAN7 := $(wildcard man/*.7)

# Make splits what it handles at spaces, and a shell reads more than that out of what is pasted into
# its commands. So folders come to the shell as variables of its own, and only there they are joined.
export DESTDIR PREFIX BINDIR LIBDIR INCLUDEDIR MANDIR BASHDIR ZSHDIR FISHDIR DOCDIR PCDIR CMAKEDIR
export BUILT RELINKED SHARED SHMKEY GENERATED

# libshmkey.a is stripped of the debugging information of Rust's standard library: 4 MB of each program.
# Of the drop-in's archive, the members that are not its own are left out: they are of Rust's runtime, and it uses none.
all:
	$(CARGO) build --release $(CARGOFLAGS)
	$(CARGO) rustc --release $(CARGOFLAGS) --target-dir "$$RELINKED" \
	    -p shmkey --features capi --lib --crate-type cdylib -- -C link-arg=-Wl,-soname,$(SONAME)
	"$$SHMKEY" packaging-files "$$GENERATED"
	cp "$$BUILT/libshmkey.a" "$$BUILT/libshmkey_dropin.so" "$$BUILT/libshmkey_dropin.a" "$$SHARED/"
	$(STRIP) --strip-debug "$$SHARED/libshmkey.a"
	$(AR) t "$$SHARED/libshmkey_dropin.a" | grep -v '^shmkey_dropin' | xargs $(AR) d "$$SHARED/libshmkey_dropin.a"
	CARGO='$(CARGO)' packaging/notices > "$$RELINKED/THIRD-PARTY"

install:
	@test -f "$$SHARED/libshmkey_dropin.so" || { echo "nothing is built yet: run make first" >&2; exit 1; }
	@case $$PREFIX$$LIBDIR$$INCLUDEDIR in *[\"\\\`\$$\#]*) \
	    echo 'a .pc file cannot name a folder with one of these in it: " \ ` $$ #' >&2; exit 1;; esac
	for folder in "$$BINDIR" "$$LIBDIR" "$$INCLUDEDIR" "$$PCDIR" "$$CMAKEDIR"; do \
	    $(INSTALL) -d "$$DESTDIR$$folder" || exit; \
	done
	$(INSTALL) -m 755 "$$BUILT/shmkey" "$$DESTDIR$$BINDIR/"
	$(INSTALL) -m 755 "$$SHARED/libshmkey.so" "$$DESTDIR$$LIBDIR/libshmkey.so.$(VERSION)"
	ln -sf libshmkey.so.$(VERSION) "$$DESTDIR$$LIBDIR/$(SONAME)"
	ln -sf $(SONAME) "$$DESTDIR$$LIBDIR/libshmkey.so"
	$(INSTALL) -m 755 "$$SHARED/libshmkey_dropin.so" "$$DESTDIR$$LIBDIR/"
	$(INSTALL) -m 644 "$$SHARED/libshmkey.a" "$$SHARED/libshmkey_dropin.a" "$$DESTDIR$$LIBDIR/"
	$(INSTALL) -m 644 include/shmkey.h include/shmkey.hpp "$$DESTDIR$$INCLUDEDIR/"
	$(under_prefix); \
	for name in shmkey shmkey_dropin; do \
	    { printf '%s\n' "prefix=$$PREFIX" "libdir=$$(under_prefix "$$LIBDIR")" \
	          "includedir=$$(under_prefix "$$INCLUDEDIR")" version=$(VERSION) "" && \
	      cat packaging/$$name.pc.in; } > "$$DESTDIR$$PCDIR/$$name.pc" && \
	    chmod 644 "$$DESTDIR$$PCDIR/$$name.pc" || exit; \
	done
	{ printf 'set(_shmkey_include_dir [==[%s]==])\n' \
	      "$$(realpath -ms --relative-to="$$LIBDIR" "$$INCLUDEDIR")" && \
	  cat packaging/cmake/shmkeyConfig.cmake; } > "$$DESTDIR$$CMAKEDIR/shmkeyConfig.cmake"
	chmod 644 "$$DESTDIR$$CMAKEDIR/shmkeyConfig.cmake"
	$(INSTALL) -m 644 packaging/cmake/shmkeyConfigVersion.cmake "$$DESTDIR$$CMAKEDIR/"
	$(call into,MANDIR/man1,"$$GENERATED"/man/*.1)
	$(call into,MANDIR/man3,$(MAN3))
	$(call into,MANDIR/man7,$(MAN7))
	$(call into,BASHDIR,"$$GENERATED/completions/shmkey.bash",shmkey)
	$(call into,ZSHDIR,"$$GENERATED/completions/_shmkey")
	$(call into,FISHDIR,"$$GENERATED/completions/shmkey.fish")
	$(call into,DOCDIR,"$$RELINKED/THIRD-PARTY")

# A folder as a .pc file names it: pkg-config can move the prefix, and what is said in terms of it.
under_prefix = under_prefix() { \
	    case $$1 in "$$PREFIX"/*) printf %s "\$${prefix}$${1\#"$$PREFIX"}";; *) printf %s "$$1";; esac; \
	}

# $(call into,FOLDER,FILES,NAME): copies files into a folder; one under another name.
into = $(INSTALL) -d "$$DESTDIR$$$(1)" && $(INSTALL) -m 644 $(2) "$$DESTDIR$$$(1)/$(3)"

# Folders that are empty then go, too; of /usr and /usr/local, not the system's own, such as /usr/local/bin.
uninstall:
	rm -f "$$DESTDIR$$BINDIR/shmkey"
	for file in libshmkey.so libshmkey.a libshmkey_dropin.so libshmkey_dropin.a; do \
	    rm -f "$$DESTDIR$$LIBDIR/$$file"; \
	done
	rm -f "$$DESTDIR$$LIBDIR"/libshmkey.so.*
	rm -f "$$DESTDIR$$INCLUDEDIR/shmkey.h" "$$DESTDIR$$INCLUDEDIR/shmkey.hpp"
	rm -f "$$DESTDIR$$PCDIR/shmkey.pc" "$$DESTDIR$$PCDIR/shmkey_dropin.pc"
	for file in shmkeyConfig.cmake shmkeyConfigVersion.cmake; do rm -f "$$DESTDIR$$CMAKEDIR/$$file"; done
	rm -f "$$DESTDIR$$MANDIR"/man1/shmkey.1 "$$DESTDIR$$MANDIR"/man1/shmkey-*.1
	for page in $(MAN3) $(MAN7); do \
	    rm -f "$$DESTDIR$$MANDIR/man$${page##*.}/$${page##*/}"; \
	done
	rm -f "$$DESTDIR$$BASHDIR/shmkey" "$$DESTDIR$$ZSHDIR/_shmkey" "$$DESTDIR$$FISHDIR/shmkey.fish"
	rm -f "$$DESTDIR$$DOCDIR/THIRD-PARTY"
	case $$DESTDIR$$PREFIX in /usr|/usr/local) own=false;; *) own=true;; esac; \
	for folder in "$$BINDIR" "$$PCDIR" "$$CMAKEDIR" "$$INCLUDEDIR" "$$MANDIR/man1" "$$MANDIR/man3" "$$MANDIR/man7" \
	    "$$BASHDIR" "$$ZSHDIR" "$$FISHDIR" "$$DOCDIR"; do \
	    while [ "$$folder" != "$$PREFIX" ] && { $$own || [ "$${folder%/*}" != "$$PREFIX" ]; } && \
	          rmdir "$$DESTDIR$$folder" 2> /dev/null; do \
	        folder=$${folder%/*}; \
	    done; \
	done; \
	! $$own || rmdir "$$DESTDIR$$PREFIX" 2> /dev/null || true

clean:
	$(CARGO) clean --release
	$(CARGO) clean --target-dir "$$RELINKED"
	rm -rf "$$GENERATED"

.PHONY: all install uninstall clean
