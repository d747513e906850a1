# Copies a .proto with every `string` as bytes, and every map as the repeated message that it is on the
# wire (key = 1, value = 2): protobuf-c does not support maps.
file(READ ${INPUT} text)
string(REGEX REPLACE "map<string, string>" "repeated MapEntry" text "${text}")
string(REGEX REPLACE "([ (])string " "\\1bytes " text "${text}")
if(text MATCHES "MapEntry")
  string(APPEND text "\nmessage MapEntry {\n  bytes key = 1;\n  bytes value = 2;\n}\n")
endif()
file(WRITE ${OUTPUT} "${text}")
