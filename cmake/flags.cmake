# Warnings, sanitizers and hardening, for everything that is built. Warnings are errors in the presets
# and in scripts/test (CMAKE_COMPILE_WARNING_AS_ERROR), not for who merely builds: a newer compiler
# warns of more.
include(CheckCCompilerFlag)
include(CheckPIESupported)

set(KVSTORE_SANITIZE "" CACHE STRING "Sanitizers to build with: address,undefined or thread")
option(KVSTORE_FUZZ "Build the fuzzers, and what they need, for libFuzzer; clang only" OFF)
if(KVSTORE_FUZZ)
  set(KVSTORE_SANITIZE address,undefined)
  add_compile_options(-O1 -fsanitize=fuzzer-no-link)
endif()

add_compile_options(-Wall -Wextra -Wconversion -Wshadow -Wmissing-prototypes -Wstrict-prototypes -Wvla
  -Wformat=2 -fno-omit-frame-pointer)
# File names in messages are those of the repository.
add_compile_options(-fmacro-prefix-map=${CMAKE_SOURCE_DIR}/=)
add_compile_definitions(_GNU_SOURCE)

# Position-independent programs too. Nothing of them is meant to be replaced by a preloaded library,
# so that calls between their own functions stay direct.
check_pie_supported(LANGUAGES C)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
add_compile_options(-fno-semantic-interposition)
add_link_options(-Wl,-z,relro,-z,now,-z,noexecstack)

if(KVSTORE_SANITIZE)
  add_compile_options(-fsanitize=${KVSTORE_SANITIZE} -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${KVSTORE_SANITIZE})
else()
  add_link_options(-Wl,--as-needed)
  add_compile_options(-fstack-protector-strong)
  foreach(flag -fstack-clash-protection -fcf-protection=full)
    string(MAKE_C_IDENTIFIER "KVSTORE_HAS${flag}" has)
    check_c_compiler_flag(${flag} ${has})
    if(${has})
      add_compile_options(${flag})
    endif()
  endforeach()
  # Needs an optimizing build.
  add_compile_options($<$<CONFIG:Release,RelWithDebInfo,MinSizeRel>:-U_FORTIFY_SOURCE>
    $<$<CONFIG:Release,RelWithDebInfo,MinSizeRel>:-D_FORTIFY_SOURCE=2>)
endif()
