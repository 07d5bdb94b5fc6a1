# Finds LibTorch under CMAKE_PREFIX_PATH or LIBTORCH_ROOT if given, else the wheel in the project's .venv.
# Defines the target LibTorch::LibTorch, LibTorch_VERSION and LibTorch_LIBRARY_DIR. Checks version and C++ ABI.
set(_wheels "")
file(GLOB _wheels "${CMAKE_CURRENT_LIST_DIR}/../.venv/lib/python3*/site-packages/torch")

find_path(LibTorch_ROOT_DIR NAMES include/ATen/ATen.h
  HINTS ${LIBTORCH_ROOT} ENV LIBTORCH_ROOT ${CMAKE_PREFIX_PATH} ${_wheels}
  PATH_SUFFIXES libtorch torch)

if(LibTorch_ROOT_DIR)
  set(LibTorch_INCLUDE_DIRS "${LibTorch_ROOT_DIR}/include" "${LibTorch_ROOT_DIR}/include/torch/csrc/api/include")
  set(LibTorch_LIBRARY_DIR "${LibTorch_ROOT_DIR}/lib")
  foreach(_name torch torch_cpu c10)
    find_library(LibTorch_${_name}_LIBRARY ${_name} HINTS "${LibTorch_LIBRARY_DIR}" NO_DEFAULT_PATH)
  endforeach()
  find_library(LibTorch_cuda_LIBRARY torch_cuda HINTS "${LibTorch_LIBRARY_DIR}" NO_DEFAULT_PATH)
  # Headers of the CUDA toolkit enable CUDA graphs for token generation.
  if(LibTorch_cuda_LIBRARY)
    find_library(LibTorch_c10_cuda_LIBRARY c10_cuda HINTS "${LibTorch_LIBRARY_DIR}" NO_DEFAULT_PATH)
    find_path(LibTorch_CUDA_INCLUDE_DIR crt/host_config.h HINTS ENV CUDA_HOME /usr/local/cuda PATH_SUFFIXES include)
    find_library(LibTorch_cudart_LIBRARY cudart HINTS ENV CUDA_HOME /usr/local/cuda PATH_SUFFIXES lib64 lib)
    # NCCL is in libtorch_cuda; its header comes with the wheel nvidia-nccl or with the system.
    if(LibTorch_CUDA_INCLUDE_DIR AND EXISTS "${LibTorch_ROOT_DIR}/include/torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp")
      find_path(LibTorch_NCCL_INCLUDE_DIR nccl.h HINTS "${LibTorch_ROOT_DIR}/../nvidia/nccl/include" ENV NCCL_HOME
        PATH_SUFFIXES include)
    endif()
  endif()

  set(_version_header "${LibTorch_ROOT_DIR}/include/torch/headeronly/version.h")
  if(NOT EXISTS "${_version_header}")
    set(_version_header "${LibTorch_ROOT_DIR}/include/torch/csrc/api/include/torch/version.h")
  endif()
  file(STRINGS "${_version_header}" _lines REGEX "#define TORCH_VERSION_(MAJOR|MINOR|PATCH) ")
  string(REGEX REPLACE "[^0-9;]" "" _lines "${_lines}")
  string(REPLACE ";" "." LibTorch_VERSION "${_lines}")
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(LibTorch
  REQUIRED_VARS LibTorch_torch_LIBRARY LibTorch_torch_cpu_LIBRARY LibTorch_c10_LIBRARY LibTorch_INCLUDE_DIRS
  VERSION_VAR LibTorch_VERSION
  REASON_FAILURE_MESSAGE "run scripts/setup.sh, or pass -DCMAKE_PREFIX_PATH=<folder of LibTorch>")

if(LibTorch_FOUND AND NOT TARGET LibTorch::LibTorch)
  if(LibTorch_VERSION VERSION_LESS 2.7 OR LibTorch_VERSION VERSION_GREATER_EQUAL 2.14)
    message(WARNING "precis is tested with LibTorch 2.7 to 2.13; this is ${LibTorch_VERSION}")
  endif()
  add_library(LibTorch::LibTorch INTERFACE IMPORTED)
  target_include_directories(LibTorch::LibTorch INTERFACE ${LibTorch_INCLUDE_DIRS})
  # --no-as-needed keeps libtorch_cuda, whose kernels register themselves when it is loaded. The C++ library comes first:
  # wheels with CUDA (2.11) export a broken std::filesystem::remove_all, which would override the library's own.
  target_link_libraries(LibTorch::LibTorch INTERFACE -Wl,--no-as-needed stdc++ ${LibTorch_torch_LIBRARY}
    ${LibTorch_torch_cpu_LIBRARY} ${LibTorch_c10_LIBRARY} $<$<BOOL:${LibTorch_cuda_LIBRARY}>:${LibTorch_cuda_LIBRARY}> -Wl,--as-needed)
  set(LibTorch_CUDA_GRAPHS OFF)
  if(LibTorch_c10_cuda_LIBRARY AND LibTorch_CUDA_INCLUDE_DIR AND LibTorch_cudart_LIBRARY)
    set(LibTorch_CUDA_GRAPHS ON)
    target_link_libraries(LibTorch::LibTorch INTERFACE ${LibTorch_c10_cuda_LIBRARY} ${LibTorch_cudart_LIBRARY})
  endif()

  # at::parallel_for is a template over OpenMP: without this flag our own kernels would silently run on one thread. Use
  # LibTorch's OpenMP runtime, so that there is a single thread pool.
  file(GLOB LibTorch_OpenMP_LIBRARY "${LibTorch_LIBRARY_DIR}/libgomp*.so*")
  if(LibTorch_OpenMP_LIBRARY)
    target_compile_options(LibTorch::LibTorch INTERFACE -fopenmp)
    target_link_libraries(LibTorch::LibTorch INTERFACE ${LibTorch_OpenMP_LIBRARY})
  else()
    find_package(OpenMP REQUIRED)
    target_link_libraries(LibTorch::LibTorch INTERFACE OpenMP::OpenMP_CXX)
  endif()

  # A LibTorch built with the old C++ ABI compiles but does not link: report it here.
  if(NOT DEFINED LibTorch_ABI_OK)
    file(WRITE "${CMAKE_BINARY_DIR}/libtorch_abi.cpp"
      "#include <c10/util/Exception.h>\nint main() { try { TORCH_CHECK(false, std::string(\"abi\")); } catch (const c10::Error&) {} return 0; }\n")
    try_compile(LibTorch_ABI_OK "${CMAKE_BINARY_DIR}/libtorch_abi" "${CMAKE_BINARY_DIR}/libtorch_abi.cpp"
      LINK_LIBRARIES LibTorch::LibTorch CXX_STANDARD 20 CXX_STANDARD_REQUIRED ON)
  endif()
  if(NOT LibTorch_ABI_OK)
    message(FATAL_ERROR "LibTorch in ${LibTorch_ROOT_DIR} cannot be linked by this compiler: it was built with another C++ "
      "ABI. Use a build with the C++11 ABI (every wheel since 2.7).")
  endif()
endif()
