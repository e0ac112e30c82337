# find_package(shmkey) defines
#
#   shmkey::shmkey          the shared library
#   shmkey::static          the static library
#   shmkey::dropin          ftok, shmget, shmat, shmdt and shmctl of shmkey; link it before libc
#   shmkey::dropin_static   the same as a static library
#
# if they are installed. COMPONENTS are the names behind the colons. This file names no absolute path, so the
# tree can be moved.

# Symbolic links are resolved: where /lib is a link to /usr/lib, the headers are beside /usr/lib.
get_filename_component(_shmkey_here "${CMAKE_CURRENT_LIST_DIR}" REALPATH)

# The places of the libraries, relative to this file: the first if it is in LIBDIR/cmake/shmkey, the others if
# it is in DATADIR/cmake/shmkey.
set(_shmkey_library_dirs ../.. ../../../lib/${CMAKE_LIBRARY_ARCHITECTURE} ../../../lib64 ../../../lib)
# The places of the headers, relative to the libraries: the one that `make install` has written above this file, and
# the usual ones, of which the last is for LIBDIR=PREFIX/lib/ARCHITECTURE.
set(_shmkey_include_dirs ${_shmkey_include_dir} ../include ../../include)

unset(_shmkey_lib)
foreach(_shmkey_dir ${_shmkey_library_dirs})
  get_filename_component(_shmkey_dir "${_shmkey_here}/${_shmkey_dir}" ABSOLUTE)
  if(NOT _shmkey_lib AND (EXISTS "${_shmkey_dir}/libshmkey.so" OR EXISTS "${_shmkey_dir}/libshmkey.a"))
    set(_shmkey_lib "${_shmkey_dir}")
  endif()
endforeach()
unset(_shmkey_include)
foreach(_shmkey_dir ${_shmkey_include_dirs})
  get_filename_component(_shmkey_dir "${_shmkey_lib}/${_shmkey_dir}" ABSOLUTE)
  if(NOT _shmkey_include AND EXISTS "${_shmkey_dir}/shmkey.h")
    set(_shmkey_include "${_shmkey_dir}")
  endif()
endforeach()

if(NOT _shmkey_lib OR NOT _shmkey_include)
  set(shmkey_FOUND FALSE)
  set(shmkey_NOT_FOUND_MESSAGE "shmkey.h and its libraries are not where ${CMAKE_CURRENT_LIST_FILE} expects them")
  return()
endif()

# _shmkey_target(NAME KIND FILE PROPERTY VALUE...): adds a target if the library is installed.
macro(_shmkey_target name kind file)
  if(NOT TARGET shmkey::${name} AND EXISTS "${_shmkey_lib}/${file}")
    add_library(shmkey::${name} ${kind} IMPORTED)
    set_target_properties(shmkey::${name} PROPERTIES IMPORTED_LOCATION "${_shmkey_lib}/${file}" ${ARGN})
  endif()
endmacro()

_shmkey_target(shmkey SHARED libshmkey.so
  IMPORTED_SONAME libshmkey.so.0 INTERFACE_INCLUDE_DIRECTORIES "${_shmkey_include}")
_shmkey_target(static STATIC libshmkey.a
  INTERFACE_INCLUDE_DIRECTORIES "${_shmkey_include}")
# No headers: programs that link it include <sys/shm.h>.
_shmkey_target(dropin SHARED libshmkey_dropin.so
  IMPORTED_SONAME libshmkey_dropin.so)
_shmkey_target(dropin_static STATIC libshmkey_dropin.a)

# The libraries that Rust's standard library needs. The drop-in does not contain it.
if(TARGET shmkey::static)
  set_property(TARGET shmkey::static PROPERTY INTERFACE_LINK_LIBRARIES util rt pthread m dl)
  # Leaves out functions that the program does not use.
  set_property(TARGET shmkey::static PROPERTY INTERFACE_LINK_OPTIONS LINKER:--gc-sections)
endif()

foreach(_shmkey_component IN LISTS shmkey_FIND_COMPONENTS)
  if(TARGET shmkey::${_shmkey_component})
    set(shmkey_${_shmkey_component}_FOUND TRUE)
  else()
    set(shmkey_${_shmkey_component}_FOUND FALSE)
    if(shmkey_FIND_REQUIRED_${_shmkey_component})
      set(shmkey_FOUND FALSE)
      set(shmkey_NOT_FOUND_MESSAGE "there is no shmkey::${_shmkey_component}")
    endif()
  endif()
endforeach()
