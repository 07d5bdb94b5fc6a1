# cpack: precis_VERSION_amd64.deb with the programs, the library, configurations and, since no Debian package has it,
# LibTorch's own libraries in lib/precis.
option(PRECIS_BUNDLE_LIBTORCH "Install LibTorch's libraries with the program, in lib/precis (for packages)" OFF)
if(PRECIS_BUNDLE_LIBTORCH)
  file(GLOB _libraries "${LibTorch_LIBRARY_DIR}/lib*.so*")
  list(FILTER _libraries EXCLUDE REGEX
    "/lib(torch_python|aoti_custom_ops|backend_with_compiler|jitbackend_test|torchbind_test|shm|torch_global_deps)[^/]*$")
  install(FILES ${_libraries} DESTINATION ${CMAKE_INSTALL_LIBDIR}/precis)
  set_target_properties(precis_program PROPERTIES INSTALL_RPATH "$ORIGIN/../${CMAKE_INSTALL_LIBDIR}/precis")
endif()
install(FILES LICENSE README.md CHANGELOG.md DESTINATION ${CMAKE_INSTALL_DOCDIR})

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME precis)
set(CPACK_PACKAGE_CONTACT "precis developers")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "${PROJECT_DESCRIPTION}")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS_PRIVATE_DIRS "${LibTorch_LIBRARY_DIR}")
set(CPACK_DEBIAN_COMPRESSION_TYPE zstd)
set(CPACK_THREADS 0)
include(CPack)
