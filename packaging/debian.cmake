# `cpack` in the build directory makes the Debian packages; the build is configured for /usr.
set(CPACK_GENERATOR DEB)
set(CPACK_SET_DESTDIR ON)
set(CPACK_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_PACKAGE_NAME kvstore)
set(CPACK_PACKAGE_CONTACT "The kvstore developers <maintainers@kvstore.example>")
set(CPACK_COMPONENTS_ALL server client sdk)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS ${CMAKE_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS})
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_SERVER_PACKAGE_NAME kvstore-server)
set(CPACK_DEBIAN_CLIENT_PACKAGE_NAME kvstore-client)
set(CPACK_DEBIAN_SDK_PACKAGE_NAME kvstore-plugin-dev)
set(CPACK_DEBIAN_SERVER_PACKAGE_SECTION database)
set(CPACK_DEBIAN_CLIENT_PACKAGE_SECTION database)
set(CPACK_DEBIAN_SDK_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_SERVER_PACKAGE_DEPENDS "adduser")
set(CPACK_DEBIAN_SERVER_DESCRIPTION "key-value server with persistence plug-ins
Holds keys and values in memory, serves them over gRPC, and writes them to
disk through plug-ins. With the plug-ins, kvstore-check and a systemd unit.")
set(CPACK_DEBIAN_CLIENT_DESCRIPTION "client of the kvstore key-value server
kvstore-cli for the terminal and for pipes, and the load generator
kvstore-bench.")
set(CPACK_DEBIAN_SDK_DESCRIPTION "write persistence plug-ins for kvstore
The header of the plug-in ABI, the files by which CMake and pkg-config find
it, and kvstore-plugin-check, which examines a plug-in.")
foreach(file postinst prerm postrm conffiles)
  list(APPEND CPACK_DEBIAN_SERVER_PACKAGE_CONTROL_EXTRA ${CMAKE_CURRENT_SOURCE_DIR}/debian/${file})
endforeach()
include(CPack)
