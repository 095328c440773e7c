
# Added by gatling for this server: visitors come through nginx, with these host names.
import Config
