$(eval $(call squeal_room,squeal/doctor))
