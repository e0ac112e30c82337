# cmake -DVERSION_FILE=.../shmkeyConfigVersion.cmake -P versions.cmake: which requests that file meets,
# were this version 0.1.5.
cmake_minimum_required(VERSION 3.19)
set(folder "${CMAKE_CURRENT_LIST_DIR}/version-0.1.5")
file(READ "${VERSION_FILE}" text)
string(REGEX REPLACE "set\\(PACKAGE_VERSION [0-9.]+\\)" "set(PACKAGE_VERSION 0.1.5)" text "${text}")
file(WRITE "${folder}/shmkeyConfigVersion.cmake" "${text}")
file(WRITE "${folder}/shmkeyConfig.cmake" "")

function(expect found)
  foreach(wanted ${ARGN})
    unset(shmkey_DIR CACHE)
    string(REPLACE "=" ";" words "${wanted}") # 0.1.5=EXACT
    find_package(shmkey ${words} QUIET CONFIG PATHS "${folder}" NO_DEFAULT_PATH)
    if(NOT shmkey_FOUND STREQUAL found)
      message(FATAL_ERROR "0.1.5 for ${wanted}: found is ${shmkey_FOUND}")
    endif()
  endforeach()
endfunction()

expect(1 0.1 0.1.0 0.1.5 0.1.5=EXACT 0...1 0.0.9...0.2 0.1.0...0.1.5 0.1.5...<0.1.6 0.1...<1)
expect(0 0 0.0.9 0.1.6 0.2 1 0.1.4=EXACT 0.1.0...0.1.3 0.1.0...<0.1.3 0.1.0...<0.1.5 0.1.6...1 0...0.1.4)
