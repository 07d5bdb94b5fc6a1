# precis_embed_text(SOURCE NAME): makes ${CMAKE_BINARY_DIR}/generated/<stem>.h with the text of SOURCE as
# `constexpr const char* NAME`.
function(precis_embed_text source name)
  cmake_path(GET source STEM stem)
  file(READ "${source}" PRECIS_TEXT)
  set(PRECIS_NAME ${name})
  configure_file(cmake/embedded_text.h.in "${CMAKE_BINARY_DIR}/generated/${stem}.h" @ONLY)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${source}")
endfunction()
