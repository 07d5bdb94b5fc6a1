# cmake --install: headers, libraries, programs, and the package for find_package(precis).
include(CMakePackageConfigHelpers)
install(DIRECTORY include/precis DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(DIRECTORY configs DESTINATION ${CMAKE_INSTALL_DATADIR}/precis)  # precis configs
install(TARGETS precis precis_base precis_app EXPORT precisTargets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(TARGETS precis_program RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
foreach(_name train eval)
  install(CODE "execute_process(COMMAND \"${CMAKE_COMMAND}\" -E create_symlink precis
    \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_BINDIR}/precis-${_name}\")")
endforeach()
set(PRECIS_PACKAGE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/precis)
install(EXPORT precisTargets NAMESPACE precis:: DESTINATION ${PRECIS_PACKAGE_DIR})
configure_package_config_file(cmake/precisConfig.cmake.in "${CMAKE_CURRENT_BINARY_DIR}/precisConfig.cmake"
  INSTALL_DESTINATION ${PRECIS_PACKAGE_DIR})
write_basic_package_version_file("${CMAKE_CURRENT_BINARY_DIR}/precisConfigVersion.cmake" COMPATIBILITY SameMinorVersion)
install(FILES "${CMAKE_CURRENT_BINARY_DIR}/precisConfig.cmake" "${CMAKE_CURRENT_BINARY_DIR}/precisConfigVersion.cmake"
  cmake/FindLibTorch.cmake DESTINATION ${PRECIS_PACKAGE_DIR})
# precis.pc, for builds without CMake.
configure_file(cmake/precis.pc.in "${CMAKE_CURRENT_BINARY_DIR}/precis.pc" @ONLY)
install(FILES "${CMAKE_CURRENT_BINARY_DIR}/precis.pc" DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
